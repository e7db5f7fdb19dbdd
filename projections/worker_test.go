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

// A failure passes even if no batch arrives. Example: a node on a new cluster asks a broker that
// does not know the topic yet, and no client writes.
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
		t.Errorf("got %v, want a ready projection", err)
	}
	stop()
	if err := errors.Join(<-ran, p.Close()); err != nil {
		t.Error(err)
	}
}
