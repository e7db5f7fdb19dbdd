package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

const (
	serveName      = "serve"
	queryName      = "query node"
	largeStoreName = "large store"
	smallStoreName = "small store"
)

// A largeStore is the data folder of a `serve` that holds many users, and that of a query node once a
// row needs it. It is filled once and used by several rows.
type largeStore struct {
	dir   string
	ids   []string // a sample of the users, spread over the store
	query bool     // there is a query node's folder
}

// largeRows returns the rows about a store with a million users, or as many as an option sets.
func largeRows() []row {
	const memory, start, cost = "memory under load, large store", "start to ready, large store", "time of a request, large store against small"
	single := func(name, unit, subject string, t target, note string, run func(*bench, context.Context, recordFunc) error) row {
		return row{name: name, unit: unit, lower: true, slow: true, subjects: []string{subject}, targets: map[string]target{"": t}, note: note, run: run}
	}
	cases := []string{largeStoreName, smallStoreName}
	against := map[string]target{smallStoreName: {1.5, 1.2}}
	return []row{
		single("file per entity, large store", "bytes", subjects.ClusterLiteName, target{500, 350}, "the read model's file of entities of 170 bytes, after a stop.", (*bench).fileBytes),
		{name: "log per event, large store", unit: "bytes", lower: true, slow: true, subjects: []string{subjects.ClusterLiteName}, run: (*bench).logBytes},
		single(start+", serve", "s", serveName, target{1, 0.3}, "the file is kept.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.starts(ctx, serveName, func(took time.Duration, _ process.Running, _ subjects.Subject) error {
				record(serveName, sample{Value: took.Seconds()})
				return nil
			})
		}),
		single(start+", query node", "s", queryName, target{1, 0.3}, "the file is kept.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.starts(ctx, queryName, func(took time.Duration, _ process.Running, _ subjects.Subject) error {
				record(queryName, sample{Value: took.Seconds()})
				return nil
			})
		}),
		single(memory+", serve", "MiB", serveName, target{250, 150}, "resident memory after a start and some seconds of reads and writes.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.memory(ctx, serveName, record, load.GetEventual, load.Create)
		}),
		single(memory+", query node", "MiB", queryName, target{150, 80}, "resident memory after a start and some seconds of reads.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.memory(ctx, queryName, record, load.GetEventual)
		}),
		{name: cost + ", GET", unit: "us", lower: true, slow: true, subjects: cases, targets: against, run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.cost(ctx, load.GetEventual, record)
		}},
		{name: cost + ", POST", unit: "us", lower: true, slow: true, subjects: cases, targets: against, run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.cost(ctx, load.Create, record)
		}},
	}
}

// large fills the store, unless an earlier row has done so.
func (b *bench) large(ctx context.Context) (*largeStore, error) {
	if b.big != nil {
		return b.big, nil
	}
	s, err := subjects.New(ctx, b.programs, subjects.ClusterLiteName)
	if err != nil {
		return nil, err
	}
	own, dir := s.(*subjects.ClusterLite), filepath.Join(b.dir, "large")
	own.Every = max(1, b.users/200_000) // many times what the cache of entities holds
	p, err := own.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	began := time.Now()
	if err := own.Fill(ctx, b.users); err != nil {
		return nil, err
	}
	fmt.Fprintf(b.log, "the large store has %d users after %.0f s\n", b.users, time.Since(began).Seconds())
	b.big = &largeStore{dir: dir, ids: own.IDs}
	return b.big, nil
}

// largeQuery creates the folder of the query node, unless an earlier row has done so. The node starts
// from a copy, so that it need not read the whole log.
func (b *bench) largeQuery(ctx context.Context) error {
	l, err := b.large(ctx)
	if err != nil || l.query {
		return err
	}
	own, p, err := b.serveLarge(ctx)
	if err != nil {
		return err
	}
	defer p.Stop()
	q, err := subjects.StartQuery(ctx, b.programs, filepath.Join(l.dir, "query"), own.Broker, "CLUSTERLITE_BOOTSTRAP="+own.Admin)
	if err != nil {
		return err
	}
	q.Stop()
	l.query = true
	return nil
}

func (b *bench) closeLarge() {
	if b.big != nil {
		_ = os.RemoveAll(b.big.dir) // a temporary folder
		b.big = nil
	}
}

func (b *bench) fileBytes(ctx context.Context, record recordFunc) error {
	l, err := b.large(ctx)
	if err != nil {
		return err
	}
	record(subjects.ClusterLiteName, sample{Value: size((&subjects.ClusterLite{}).File(l.dir)) / float64(b.users)})
	return nil
}

func (b *bench) logBytes(ctx context.Context, record recordFunc) error {
	l, err := b.large(ctx)
	if err != nil {
		return err
	}
	sum := 0.0
	err = filepath.WalkDir(filepath.Join(l.dir, "data", "broker"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			sum += size(path)
		}
		return err
	})
	if err == nil {
		record(subjects.ClusterLiteName, sample{Value: sum / float64(b.users)})
	}
	return err
}

// serveLarge starts the process of the large store.
func (b *bench) serveLarge(ctx context.Context) (*subjects.ClusterLite, process.Running, error) {
	l, err := b.large(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := subjects.New(ctx, b.programs, subjects.ClusterLiteName)
	if err != nil {
		return nil, nil, err
	}
	own := s.(*subjects.ClusterLite)
	p, err := own.Start(ctx, l.dir)
	own.IDs = l.ids
	return own, p, err
}

// starts starts serve or a query node once in each round. It passes the time until the process
// was ready to then.
func (b *bench) starts(ctx context.Context, which string, then func(took time.Duration, p process.Running, s subjects.Subject) error) error {
	prepare := b.largeQuery
	if which == serveName {
		prepare = func(ctx context.Context) error { _, err := b.large(ctx); return err }
	}
	if err := prepare(ctx); err != nil {
		return err
	}
	once := func() error {
		began := time.Now()
		own, p, err := b.serveLarge(ctx)
		if err != nil {
			return err
		}
		defer p.Stop()
		if which == serveName {
			return then(time.Since(began), p, own)
		}
		began = time.Now()
		q, err := subjects.StartQuery(ctx, b.programs, filepath.Join(b.big.dir, "query"), own.Broker)
		if err != nil {
			return err
		}
		defer q.Stop()
		return then(time.Since(began), q, q.Subject(own.IDs))
	}
	for range min(b.rounds, 3) { // the results hardly vary
		if err := once(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memory(ctx context.Context, which string, record recordFunc, loads ...load.Workload) error {
	return b.starts(ctx, which, func(_ time.Duration, p process.Running, s subjects.Subject) error {
		for _, w := range loads {
			if _, err := b.measure(ctx, started{s, p, b.big.dir}, w, 64, b.duration); err != nil {
				return err
			}
		}
		mib, err := process.ResidentMiB(p.PIDs())
		record(which, sample{Value: mib})
		return err
	})
}

// cost measures a workload on the large store and on a new small one in turn. The value is the
// time of a request while 64 connections keep the store busy.
func (b *bench) cost(ctx context.Context, w load.Workload, record recordFunc) error {
	own, p, err := b.serveLarge(ctx)
	if err != nil {
		return err
	}
	big := started{own, p, b.big.dir}
	defer big.Stop()
	small, err := b.start(ctx, subjects.ClusterLiteName, b.entities)
	if err != nil {
		return err
	}
	defer func() { small.remove() }()
	for round := range b.rounds {
		if w == load.Create && round > 0 { // the writes of the last round made it larger
			small.remove()
			if small, err = b.start(ctx, subjects.ClusterLiteName, b.entities); err != nil {
				return err
			}
		}
		for i, s := range []started{big, small} {
			name := []string{largeStoreName, smallStoreName}[i]
			if _, err := b.measure(ctx, s, w, 64, time.Second); err != nil { // fills the caches
				return err
			}
			one, err := b.measure(ctx, s, w, 64, b.duration)
			if err != nil {
				return err
			}
			one.Value = 1e6 / one.Value
			record(name, one)
		}
	}
	return nil
}

// size returns the size of a file in bytes, or zero if the file does not exist.
func size(path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return float64(info.Size())
}
