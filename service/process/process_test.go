package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

func TestAGroupStopsInReverse(t *testing.T) {
	var stopped []string
	g := NewGroup()
	g.Defer("file", func() error { stopped = append(stopped, "file"); return nil })
	g.Go("worker", func(ctx context.Context) error {
		<-ctx.Done()
		stopped = append(stopped, "worker")
		return nil
	})
	g.Go("server", func(ctx context.Context) error {
		<-ctx.Done()
		stopped = append(stopped, "server")
		return errors.New("requests hang")
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Wait(ctx); err != nil {
		t.Error(err)
	}
	if err := g.Stop(); err == nil || !strings.Contains(err.Error(), "server: requests hang") {
		t.Errorf("got %v, want that requests of the server hang", err)
	}
	if !slices.Equal(stopped, []string{"server", "worker", "file"}) {
		t.Errorf("got %v stopped, want server, worker and file", stopped)
	}
	if err := g.Stop(); err != nil {
		t.Errorf("the second stop: got %v, want no error", err)
	}
}

func TestAPartThatFailsEndsTheGroup(t *testing.T) {
	broken := errors.New("broken")
	for _, result := range []error{broken, nil} {
		g := NewGroup()
		g.Go("part", func(context.Context) error { return result })
		err := g.Wait(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "part: ") || result != nil && !errors.Is(err, broken) {
			t.Errorf("got %v, want the error of the part", err)
		}
		if err := g.Stop(); err != nil {
			t.Errorf("got %v from Stop, want no error, because Wait has returned it", err)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for _, s := range []struct {
		err    error
		status int
		says   string
	}{
		{nil, 0, ""},
		{settings.ErrHelp, 0, ""},
		{&settings.UsageError{Err: errors.New("no such flag")}, 2, "no such flag\n"},
		{fmt.Errorf("x: %w", &settings.UsageError{Err: errors.New("no such flag")}), 2, "x: no such flag\n"},
		{errors.New("broken"), 1, "failed: broken\n"},
		{fmt.Errorf("copy: %w", context.Canceled), 1, "stopped: copy: context canceled\n"},
		{ErrReported, 1, ""},
	} {
		var stderr bytes.Buffer
		if got := exitStatus(s.err, &stderr); got != s.status || stderr.String() != s.says {
			t.Errorf("%v: got %d, %q, want %d, %q", s.err, got, stderr.String(), s.status, s.says)
		}
	}
}
