package projections

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// A failure passes also where no batch comes to show it: a node on a new cluster asked a
// broker that did not know the topic yet, and nobody writes.
func TestAFailurePassesOnAnEmptyLog(t *testing.T) {
	b, err := embedded.Start(t.TempDir(), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	log, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p, err := Open(t.Context(), Options{Dir: t.TempDir(), Log: log, Collections: &collections.Set{}})
	if err != nil {
		t.Fatal(err)
	}
	p.fail(errors.New("no such topic on this broker"))
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	for p.Ready(time.Minute) != nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := p.Ready(time.Minute); err != nil {
		t.Errorf("still %v", err)
	}
	stop()
	if err := errors.Join(<-ran, p.Close()); err != nil {
		t.Error(err)
	}
}

// A leader that was deposed names an old end of the log for as long as it is reached and
// its peers are not. That is no reason to stop for good.
func TestAnOldEndIsNotBelieved(t *testing.T) {
	b, err := embedded.Start(t.TempDir(), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	log, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if _, err := log.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), Options{Dir: t.TempDir(), Log: log, Collections: &collections.Set{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	ahead := &ErrRefused{Reason: RefusedAhead}
	var refused *ErrRefused
	// The log goes on from the position: the record that proves it lies beyond.
	for range 3 {
		end, err := log.Barrier(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.progress.restore(end)
		if err := p.prove(t.Context(), ahead); err == nil || errors.As(err, &refused) {
			t.Errorf("at %d of a log that is whole: %v", end, err)
		}
	}
	// A log that lacks a record: the one that proves it takes its place.
	end, err := log.Barrier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.progress.restore(end + 1)
	if err := p.prove(t.Context(), ahead); !errors.As(err, &refused) {
		t.Errorf("the log is shorter: %v", err)
	}
	if err := p.prove(t.Context(), &ErrRefused{Reason: RefusedGap}); !errors.As(err, &refused) || refused.Reason != RefusedGap {
		t.Errorf("the front is gone: %v", err)
	}
	b.Close()
	if err := p.prove(t.Context(), ahead); err == nil || errors.As(err, &refused) {
		t.Errorf("nobody can be asked: %v", err)
	}
}
