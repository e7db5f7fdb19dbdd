package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	serveName      = "serve"
	queryName      = "query node"
	largeStoreName = "large store"
	smallStoreName = "small store"
)

// A largeStore is the data folders of a `serve` and of a query node that hold many users. It is
// filled once and used by several rows.
type largeStore struct {
	dir string
	ids []string // a sample of the users, spread over the store
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
		single("file per entity, large store", "bytes", ownName, target{500, 350}, "the read model's file of entities of 170 bytes, after a stop.", (*bench).fileBytes),
		{name: "log per event, large store", unit: "bytes", lower: true, slow: true, subjects: []string{ownName}, run: (*bench).logBytes},
		single(start+", serve", "s", serveName, target{1, 0.3}, "the file is kept.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.starts(ctx, serveName, func(took time.Duration, _ running, _ subject) error {
				record(serveName, sample{Value: took.Seconds()})
				return nil
			})
		}),
		single(start+", query node", "s", queryName, target{1, 0.3}, "the file is kept.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.starts(ctx, queryName, func(took time.Duration, _ running, _ subject) error {
				record(queryName, sample{Value: took.Seconds()})
				return nil
			})
		}),
		single(memory+", serve", "MiB", serveName, target{250, 150}, "resident memory after a start and some seconds of reads and writes.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.memory(ctx, serveName, record, getEventual, create)
		}),
		single(memory+", query node", "MiB", queryName, target{150, 80}, "resident memory after a start and some seconds of reads.", func(b *bench, ctx context.Context, record recordFunc) error {
			return b.memory(ctx, queryName, record, getEventual)
		}),
		{name: cost + ", GET", unit: "us", lower: true, slow: true, subjects: cases, targets: against, run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.cost(ctx, getEventual, record)
		}},
		{name: cost + ", POST", unit: "us", lower: true, slow: true, subjects: cases, targets: against, run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.cost(ctx, create, record)
		}},
	}
}

// large fills the store, unless an earlier row has done so.
func (b *bench) large(ctx context.Context) (*largeStore, error) {
	if b.big != nil {
		return b.big, nil
	}
	s, err := b.subject(ctx, ownName)
	if err != nil {
		return nil, err
	}
	own, dir := s.(*clusterLite), filepath.Join(b.dir, "large")
	own.every = max(1, b.users/50_000)
	p, err := own.start(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	began := time.Now()
	if err := own.fill(ctx, b.users); err != nil {
		return nil, err
	}
	fmt.Fprintf(b.log, "the large store has %d users after %.0f s\n", b.users, time.Since(began).Seconds())
	// A query node starts from a copy, so that it need not read the whole log.
	q, err := b.startQuery(ctx, filepath.Join(dir, "query"), own.broker, "CLUSTERLITE_BOOTSTRAP="+own.admin)
	if err != nil {
		return nil, err
	}
	q.stop()
	b.big = &largeStore{dir: dir, ids: own.ids}
	return b.big, nil
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
	record(ownName, sample{Value: size(filepath.Join(l.dir, "query", "data", "projection.db")) / float64(b.users)})
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
		record(ownName, sample{Value: sum / float64(b.users)})
	}
	return err
}

// serveLarge starts the process of the large store.
func (b *bench) serveLarge(ctx context.Context) (*clusterLite, running, error) {
	l, err := b.large(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := b.subject(ctx, ownName)
	if err != nil {
		return nil, nil, err
	}
	own := s.(*clusterLite)
	p, err := own.start(ctx, l.dir)
	own.ids = l.ids
	return own, p, err
}

// starts starts serve or a query node once in each round. It passes the time until the process
// was ready to then.
func (b *bench) starts(ctx context.Context, which string, then func(took time.Duration, p running, s subject) error) error {
	if _, err := b.large(ctx); err != nil {
		return err
	}
	once := func() error {
		began := time.Now()
		own, p, err := b.serveLarge(ctx)
		if err != nil {
			return err
		}
		defer p.stop()
		if which == serveName {
			return then(time.Since(began), p, own)
		}
		began = time.Now()
		q, err := b.startQuery(ctx, filepath.Join(b.big.dir, "query"), own.broker)
		if err != nil {
			return err
		}
		defer q.stop()
		return then(time.Since(began), q, &clusterLite{url: q.url, ids: own.ids})
	}
	for range min(b.rounds, 3) { // the results hardly vary
		if err := once(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memory(ctx context.Context, which string, record recordFunc, loads ...workload) error {
	return b.starts(ctx, which, func(_ time.Duration, p running, s subject) error {
		for _, w := range loads {
			if _, err := b.measure(ctx, started{s, p, b.big.dir}, w, 64, b.duration); err != nil {
				return err
			}
		}
		mib, err := residentMiB(p.pids())
		record(which, sample{Value: mib})
		return err
	})
}

// cost measures a workload on the large store and on a new small one in turn. The value is the
// time of a request while 64 connections keep the store busy.
func (b *bench) cost(ctx context.Context, w workload, record recordFunc) error {
	own, p, err := b.serveLarge(ctx)
	if err != nil {
		return err
	}
	big := started{own, p, b.big.dir}
	defer big.stop()
	small, err := b.start(ctx, ownName, b.entities)
	if err != nil {
		return err
	}
	defer func() { small.remove() }()
	for round := range b.rounds {
		if w == create && round > 0 { // the writes of the last round made it larger
			small.remove()
			if small, err = b.start(ctx, ownName, b.entities); err != nil {
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
