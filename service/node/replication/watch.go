// Package replication watches how many brokers have the log, for the node's metrics.
package replication

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

const (
	// interval is the time between two questions, and again the time after one that failed.
	interval, again = 15 * time.Second, 5 * time.Second
	// validity is how long an answer counts. A broker that has just stopped may be the one that is
	// asked, so one failure does not mean that the replication is unknown.
	validity = 4 * interval
)

// A Log answers how it is replicated.
type Log interface {
	Replication(ctx context.Context) (eventlog.Replication, error)
}

// A Watch asks for the replication of the log, and exposes the last answer as metrics.
type Watch struct {
	log    Log
	logger *slog.Logger
	last   atomic.Pointer[answer]
}

type answer struct {
	eventlog.Replication
	at time.Time
}

// New returns a watch and registers its metrics.
func New(log Log, r prometheus.Registerer, logger *slog.Logger) *Watch {
	w := &Watch{log: log, logger: logger}
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "clusterlite_topic_replicas", Help: "Brokers that should have the log; NaN while unknown."},
			w.value(func(r eventlog.Replication) int { return r.Replicas })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "clusterlite_topic_in_sync_replicas", Help: "Brokers that have all of the log; NaN while unknown."},
			w.value(func(r eventlog.Replication) int { return r.InSync })),
	)
	return w
}

// value returns a function that reads a part of the last answer.
func (w *Watch) value(of func(eventlog.Replication) int) func() float64 {
	return func() float64 {
		last := w.last.Load()
		if last == nil || time.Since(last.at) > validity {
			return math.NaN()
		}
		return float64(of(last.Replication))
	}
}

// Run asks until ctx ends, and returns nil. A question that fails is only repeated, because the node
// serves without its answer.
func (w *Watch) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		pause := interval
		if r, err := w.log.Replication(ctx); err == nil {
			w.learn(r)
		} else {
			pause = again
			w.logger.Debug("could not determine the replication of the topic", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// learn keeps an answer, and logs when replicas are lost or are complete again.
func (w *Watch) learn(r eventlog.Replication) {
	last := w.last.Swap(&answer{r, time.Now()})
	if last != nil && last.Replication == r {
		return
	}
	switch {
	case r.InSync < r.Replicas:
		w.logger.Warn("the topic is under-replicated: the loss of more brokers may stop writes or lose events", "replicas", r.Replicas, "in_sync", r.InSync)
	case last != nil && last.InSync < last.Replicas:
		w.logger.Info("the topic is fully replicated again", "replicas", r.Replicas)
	}
}
