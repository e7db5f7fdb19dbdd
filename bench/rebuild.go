package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// compareRebuild measures, on a log of mixed events, `clusterlite replay` and a rebuild of
// the idle node against the bulk transaction of the same changes. Of ten events seven
// create, two replace and one deletes.
func (b *bench) compareRebuild(ctx context.Context, s *clusterLite, o bulkOptions) ([]result, error) {
	events := o.entities / 7 * 10
	named := func(what string) *result {
		return &result{benchmark: benchmark{name: fmt.Sprintf("%s of %d mixed events", what, events), against: []string{bulkName}}, found: map[string][]measurement{}}
	}
	replay, rebuild := named("replay"), named("rebuild of an idle node")
	dir, done, err := b.newDir()
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := s.startProfiled(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	model, err := s.mix(ctx, dir, o.entities)
	if err != nil {
		return nil, err
	}
	for range o.rounds {
		out := filepath.Join(dir, "replay.db")
		began := time.Now()
		cpu, err := s.tool(ctx, "replay", "--kafka-brokers", s.broker, "--out", out, "--force")
		if err != nil {
			return nil, err
		}
		b.note(replay, ownName, model.rows(), time.Since(began), cpu)
		began, used := time.Now(), p.cpu()
		took, err := s.profiled(ctx, o, "rebuild", func() (time.Duration, error) {
			_, err := s.tool(ctx, "rebuild", "--admin", s.admin)
			return time.Since(began), err
		})
		if err != nil {
			return nil, err
		}
		b.note(rebuild, ownName, model.rows(), took, p.cpu()-used)
		run, done, err := b.newDir()
		if err != nil {
			return nil, err
		}
		err = b.bulkOnce(ctx, run, model, replay, rebuild)
		done()
		if err != nil {
			return nil, err
		}
	}
	return []result{*replay, *rebuild}, nil
}

// tool runs a command of the operator's tool, and gives its processor time.
func (s *clusterLite) tool(ctx context.Context, args ...string) (cpu time.Duration, err error) {
	cmd := exec.CommandContext(ctx, s.program, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("clusterlite %s: %w\n%s", args[0], err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// changing is how many requests at a time make the log that is applied again.
const changing = 64

// mix creates entities, replaces two sevenths of them and deletes another one. It gives the
// bulk transaction that does the same.
func (s *clusterLite) mix(ctx context.Context, dir string, entities int) (*bulk, error) {
	if _, err := s.importLines(ctx, entities); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	model, err := readBulk(ctx, s.file(dir))
	if err != nil {
		return nil, err
	}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t.MaxIdleConnsPerHost = changing
	}
	err = each(ctx, changing, entities, func(n int) error {
		path, name := s.url+"/users/"+s.ids[n], "Replaced"
		_, email := person(n)
		switch n % 7 {
		case 0, 3:
			return sendJSON(ctx, http.MethodPut, path, "application/json", fmt.Appendf(nil, `{"name":%q,"email":%q}`, name, email), nil)
		case 5:
			return sendJSON(ctx, http.MethodDelete, path, "", nil, nil)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return model, model.change(ctx, s.file(dir))
}

// each calls do with 0 to n-1, so many at a time, until one fails.
func each(ctx context.Context, parallel, n int, do func(int) error) error {
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
