package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

// A started subject is a subject with its running processes.
type started struct {
	subjects.Subject
	process.Running
	dir string
}

// start starts a subject in a new folder, and creates the given number of entities.
func (b *bench) start(ctx context.Context, name string, entities int) (started, error) {
	s, err := subjects.New(ctx, b.programs, name)
	if err != nil {
		return started{}, err
	}
	dir := b.newDir()
	p, err := s.Start(ctx, dir)
	if err != nil {
		return started{}, fmt.Errorf("start %s: %w", name, err)
	}
	one := started{s, p, dir}
	if err := s.Fill(ctx, entities); err != nil {
		one.remove()
		return started{}, fmt.Errorf("fill %s: %w", name, err)
	}
	return one, nil
}

// remove stops the subject, if it was started, and removes its files.
func (s started) remove() {
	if s.Running == nil {
		return
	}
	s.Stop()
	_ = os.RemoveAll(s.dir) // a temporary folder
}

// warmUp is how long a subject is loaded before it is measured.
const warmUp = time.Second

// compareRunning starts each subject once, with so many entities. It loads each for the duration
// of warm, so that caches fill. Then it measures them in turn.
func (b *bench) compareRunning(ctx context.Context, names []string, entities int, w load.Workload, connections int, warm time.Duration, record recordFunc) error {
	all := make([]started, len(names))
	for i, name := range names {
		var err error
		if all[i], err = b.start(ctx, name, entities); err != nil {
			return err
		}
		defer all[i].remove()
		if _, err := b.measure(ctx, all[i], w, connections, warm); err != nil {
			return err
		}
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	for range b.rounds {
		// Every second round is in the reverse order, so that no subject always comes after the same one.
		slices.Reverse(order)
		for _, i := range order {
			one, err := b.measure(ctx, all[i], w, connections, b.duration)
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
	if _, err := b.measure(ctx, s, load.Create, connections, warmUp); err != nil {
		return sample{}, err
	}
	return b.measure(ctx, s, load.Create, connections, b.duration)
}

// A driven subject is loaded by its own client instead of wrk.
type driven interface {
	Drive(ctx context.Context, connections int, d time.Duration) (load.Measurement, error)
}

// measure loads a subject for the given duration.
func (b *bench) measure(ctx context.Context, s started, w load.Workload, connections int, d time.Duration) (sample, error) {
	b.salt++
	before := process.CPUTime(s.PIDs())
	var m load.Measurement
	var err error
	if own, ok := s.Subject.(driven); ok {
		m, err = own.Drive(ctx, connections, d)
	} else if l, ok := s.Requests(w); ok {
		err = b.profiled(ctx, s.Subject, fmt.Sprintf("%s-%d", w, connections), d, func() (err error) {
			m, err = load.RunWrk(ctx, s.dir, s.URL(), l, connections, d, b.salt)
			return err
		})
	} else {
		err = fmt.Errorf("it has no such load")
	}
	if err == nil && m.Failed > 0 {
		err = fmt.Errorf("%d of %d requests failed", m.Failed, m.Failed+m.Requests)
	}
	if err != nil {
		return sample{}, fmt.Errorf("load %s: %w", s.Name(), err)
	}
	return sample{
		Value: m.PerSecond, P50: milliseconds(m.P50), P99: milliseconds(m.P99),
		CPU: float64((process.CPUTime(s.PIDs()) - before).Microseconds()) / float64(m.Requests),
	}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
