package node

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// A node looks into its stores this often, and gives each of them this long.
const (
	snapshotAgeInterval = 5 * time.Minute
	snapshotAgePatience = time.Minute
)

// watchSnapshots exposes how old the newest snapshot is in the stores from which the node would
// start (--bootstrap), if there are any. The nodes watch the stores, because whatever creates the
// snapshots may have stopped and can't report that.
func (n *Node) watchSnapshots() {
	stores := slices.DeleteFunc(slices.Clone(n.Bootstrap), snapshots.IsNode)
	if len(stores) == 0 {
		return
	}
	var newest atomic.Uint64 // the bits of the time in seconds
	newest.Store(math.Float64bits(math.NaN()))
	n.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clusterlite_snapshot_newest_timestamp_seconds",
		Help: "When the newest snapshot was stored in the stores of --bootstrap, as Unix time; 0 if the stores are empty, NaN until a store has been read.",
	}, func() float64 { return math.Float64frombits(newest.Load()) }))
	n.group.Go("the age of the snapshots", func(ctx context.Context) error {
		again := time.NewTicker(snapshotAgeInterval)
		defer again.Stop()
		for {
			if at, known := n.newestSnapshot(ctx, stores); known {
				newest.Store(math.Float64bits(at))
			}
			select {
			case <-ctx.Done():
				return nil
			case <-again.C:
			}
		}
	})
}

// newestSnapshot returns when the newest snapshot in the stores was stored, as Unix time, or 0 if
// the stores are empty. It returns false if no store could be read.
func (n *Node) newestSnapshot(ctx context.Context, stores []string) (newest float64, known bool) {
	for _, place := range stores {
		at, err := n.newestIn(ctx, place)
		if ctx.Err() != nil {
			return 0, false
		}
		if err != nil {
			n.Logger.Warn("could not determine the age of the newest snapshot", "error", err)
			continue
		}
		known = true
		if !at.IsZero() {
			newest = max(newest, float64(at.UnixMilli())/1000)
		}
	}
	return newest, known
}

func (n *Node) newestIn(ctx context.Context, place string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotAgePatience)
	defer cancel()
	store, err := n.Stores.Open(ctx, place)
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = store.Close() }() // it was only read
	return store.Newest(ctx)
}
