package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// again measures a command that applies a whole log of mixed events again. It compares the
// command with the bulk transaction of the same changes. The processor time includes that of
// the command and of `serve`, which is the broker and, in a rebuild, does the work itself.
func (b *bench) again(ctx context.Context, record recordFunc, once func(s *clusterLite, dir string) (effort, error)) error {
	s, err := b.start(ctx, ownName, 0)
	if err != nil {
		return err
	}
	defer s.remove()
	own := s.subject.(*clusterLite)
	limit, err := own.mix(ctx, s.dir, b.users*7/10)
	if err != nil {
		return err
	}
	for range b.rounds {
		used := cpuTime(s.pids())
		tool, err := once(own, s.dir)
		if err != nil {
			return err
		}
		events := float64(limit.rows())
		record(ownName, sample{Value: events / tool.took.Seconds(), CPU: float64((tool.cpu + cpuTime(s.pids()) - used).Microseconds()) / events})
		if err := b.bulkOnce(ctx, limit, record); err != nil {
			return err
		}
	}
	return nil
}

// An effort is the duration of one run of a program, and its processor time.
type effort struct{ took, cpu time.Duration }

// tool runs a subcommand of the operator's tool.
func (s *clusterLite) tool(ctx context.Context, args ...string) (effort, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, s.program, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return effort{}, fmt.Errorf("clusterlite %s: %w\n%s", args[0], err, out)
	}
	return effort{time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// changing is the number of concurrent requests that create the log of mixed events.
const changing = 64

// mix creates entities, replaces two sevenths of them and deletes one seventh. It returns the
// bulk transaction with the same effect.
func (s *clusterLite) mix(ctx context.Context, dir string, entities int) (*bulk, error) {
	if _, err := s.importLines(ctx, entities); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	limit, err := readBulk(ctx, s.file(dir))
	if err != nil {
		return nil, err
	}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t.MaxIdleConnsPerHost = changing
	}
	if err := inParallel(ctx, changing, entities, func(n int) error { return s.change(ctx, n) }); err != nil {
		return nil, err
	}
	return limit, limit.change(ctx, s.file(dir))
}

func (s *clusterLite) change(ctx context.Context, n int) error {
	path := s.url + "/users/" + s.ids[n]
	switch n % 7 {
	case 0, 3:
		_, email := person(n)
		return sendJSON(ctx, http.MethodPut, path, "application/json", fmt.Appendf(nil, `{"name":"Replaced","email":%q}`, email), nil)
	case 5:
		return sendJSON(ctx, http.MethodDelete, path, "", nil, nil)
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
