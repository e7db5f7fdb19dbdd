package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/clusterlite/clusterlite/bench/bulk"
	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

// again measures a command that applies a whole log of mixed events again. It compares the
// command with the bulk transaction of the same changes. The processor time includes that of
// the command and of `serve`, which is the broker and, in a rebuild, does the work itself.
func (b *bench) again(ctx context.Context, record recordFunc, once func(s *subjects.ClusterLite, dir string) (subjects.Effort, error)) error {
	s, err := b.start(ctx, subjects.ClusterLiteName, 0)
	if err != nil {
		return err
	}
	defer s.remove()
	own := s.Subject.(*subjects.ClusterLite)
	limit, err := mix(ctx, own, s.dir, b.users*7/10)
	if err != nil {
		return err
	}
	for range b.rounds {
		used := process.CPUTime(s.PIDs())
		tool, err := once(own, s.dir)
		if err != nil {
			return err
		}
		events := float64(limit.Rows())
		record(subjects.ClusterLiteName, sample{Value: events / tool.Took.Seconds(), CPU: float64((tool.CPU + process.CPUTime(s.PIDs()) - used).Microseconds()) / events})
		if err := b.bulkOnce(ctx, limit, record); err != nil {
			return err
		}
	}
	return nil
}

// changing is the number of concurrent requests that create the log of mixed events.
const changing = 64

// mix creates entities, replaces two sevenths of them and deletes one seventh. It returns the
// bulk transaction with the same effect.
func mix(ctx context.Context, s *subjects.ClusterLite, dir string, entities int) (*bulk.Bulk, error) {
	if _, err := s.Import(ctx, entities); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	limit, err := bulk.Read(ctx, s.File(dir))
	if err != nil {
		return nil, err
	}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t.MaxIdleConnsPerHost = changing
	}
	if err := inParallel(ctx, changing, entities, func(n int) error { return change(ctx, s, n) }); err != nil {
		return nil, err
	}
	return limit, limit.Change(ctx, s.File(dir))
}

func change(ctx context.Context, s *subjects.ClusterLite, n int) error {
	path := s.URL() + "/users/" + s.IDs[n]
	switch n % 7 {
	case 0, 3:
		_, email := subjects.Person(n)
		return load.SendJSON(ctx, http.MethodPut, path, "application/json", fmt.Appendf(nil, `{"name":"Replaced","email":%q}`, email), nil)
	case 5:
		return load.SendJSON(ctx, http.MethodDelete, path, "", nil, nil)
	}
	return nil
}

// inParallel calls do with each number from 0 to n-1, with this many calls at a time, until one
// fails.
func inParallel(ctx context.Context, parallel, n int, do func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var working sync.WaitGroup
	for range parallel {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	working.Wait()
	return context.Cause(ctx)
}
