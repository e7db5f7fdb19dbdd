package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// subject builds what a subject needs, and returns the subject.
func (b *bench) subject(ctx context.Context, name string) (s subject, err error) {
	switch name {
	case ownName:
		s := &clusterLite{}
		s.program, err = b.ownProgram(ctx, "./clusterlite")
		return s, err
	case ownClusterName:
		return b.newCluster(ctx)
	case rqliteName, rqliteClusterName:
		s := &rqlite{nodes: map[string]int{rqliteName: 1, rqliteClusterName: 3}[name]}
		s.program, err = b.modulePackage(ctx, "github.com/rqlite/rqlite/v8@v8.36.0", "./cmd/rqlited")
		return s, err
	case pocketBaseName:
		s := &pocketBase{durable: true}
		s.program, err = b.durablePocketBase(ctx)
		return s, err
	case pocketBaseUnsyncedName:
		s := &pocketBase{}
		s.program, err = b.modulePackage(ctx, pocketBaseModule, "./examples/base")
		return s, err
	case rawName:
		s := &raw{}
		s.program, err = b.ownProgram(ctx, "./clusterlite")
		return s, err
	case bareName, naiveName:
		return &limits{which: name}, nil
	}
	return nil, fmt.Errorf("no subject is called %s", name)
}

// A started subject is a subject with its running processes.
type started struct {
	subject
	running
	dir string
}

// start starts a subject in a new folder, and creates the given number of entities.
func (b *bench) start(ctx context.Context, name string, entities int) (started, error) {
	s, err := b.subject(ctx, name)
	if err != nil {
		return started{}, err
	}
	dir := b.newDir()
	p, err := s.start(ctx, dir)
	if err != nil {
		return started{}, fmt.Errorf("start %s: %w", name, err)
	}
	one := started{s, p, dir}
	if err := s.fill(ctx, entities); err != nil {
		one.remove()
		return started{}, fmt.Errorf("fill %s: %w", name, err)
	}
	return one, nil
}

// remove stops the subject, if it was started, and removes its files.
func (s started) remove() {
	if s.running == nil {
		return
	}
	s.stop()
	_ = os.RemoveAll(s.dir) // a temporary folder
}

// compareRunning starts each subject once, with so many entities. It loads each for the duration
// of warm, so that caches fill and virtual machines compile. Then it measures them in turn.
func (b *bench) compareRunning(ctx context.Context, names []string, entities int, w workload, connections int, warm time.Duration, record recordFunc) error {
	subjects := make([]started, len(names))
	for i, name := range names {
		var err error
		if subjects[i], err = b.start(ctx, name, entities); err != nil {
			return err
		}
		defer subjects[i].remove()
		if _, err := b.measure(ctx, subjects[i], w, connections, warm); err != nil {
			return err
		}
	}
	for range b.rounds {
		for i, s := range subjects {
			one, err := b.measure(ctx, s, w, connections, b.duration)
			if err != nil {
				return err
			}
			record(names[i], one)
		}
	}
	return nil
}

// compareWrites starts each subject with an empty store for each measurement.
func (b *bench) compareWrites(ctx context.Context, names []string, connections int, record recordFunc) error {
	for range b.rounds {
		for _, name := range names {
			one, err := b.writeOnce(ctx, name, connections)
			if err != nil {
				return err
			}
			record(name, one)
		}
	}
	return nil
}

func (b *bench) writeOnce(ctx context.Context, name string, connections int) (sample, error) {
	s, err := b.start(ctx, name, 0)
	if err != nil {
		return sample{}, err
	}
	defer s.remove()
	if _, err := b.measure(ctx, s, create, connections, time.Second); err != nil {
		return sample{}, err
	}
	return b.measure(ctx, s, create, connections, b.duration)
}

// A driven subject is loaded by its own client instead of wrk.
type driven interface {
	drive(ctx context.Context, connections int, d time.Duration) (measurement, error)
}

// measure loads a subject for the given duration.
func (b *bench) measure(ctx context.Context, s started, w workload, connections int, d time.Duration) (sample, error) {
	b.salt++
	before := cpuTime(s.pids())
	var m measurement
	var err error
	if own, ok := s.subject.(driven); ok {
		m, err = own.drive(ctx, connections, d)
	} else if l, ok := s.load(w); ok {
		err = b.profiled(ctx, s.subject, fmt.Sprintf("%s-%d", w, connections), d, func() (err error) {
			m, err = runWrk(ctx, s.dir, s.base(), l, connections, d, b.salt)
			return err
		})
	} else {
		err = fmt.Errorf("it has no such load")
	}
	if err == nil && m.failed > 0 {
		err = fmt.Errorf("%d of %d requests failed", m.failed, m.failed+m.requests)
	}
	if err != nil {
		return sample{}, fmt.Errorf("load %s: %w", s.name(), err)
	}
	return sample{
		Value: m.perSecond, P50: milliseconds(m.p50), P99: milliseconds(m.p99),
		CPU: float64((cpuTime(s.pids()) - before).Microseconds()) / float64(m.requests),
	}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
