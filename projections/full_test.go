package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// A projection whose file cannot grow is stuck but not damaged. It applies no batch twice or in
// part, and resumes once there is room.
func TestAFullDiskPasses(t *testing.T) {
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
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if _, err := log.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	open := func() *Projection {
		p, err := Open(ctx, Options{Dir: t.TempDir(), Log: log, Collections: &collections.Set{}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p, whole := open(), open()
	pages := func(maxPages int) {
		t.Helper()
		p.applying.Lock()
		defer p.applying.Unlock()
		if _, err := p.serving.Load().Writer.Conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA max_page_count = %d`, maxPages)); err != nil {
			t.Fatal(err)
		}
	}
	pages(1) // SQLite raises this to the number of pages that the file has
	running, halt := context.WithCancel(ctx)
	ran := make(chan error, 2)
	go func() { ran <- p.Run(running) }()
	go func() { ran <- whole.Run(running) }()
	var end events.Position
	for range 50 {
		if end, err = log.Append(ctx, events.Event{
			ID: uuid.NewString(), Source: "/test", Kind: events.Created, Collection: "users", EntityID: uuid.NewString(), Version: 1,
			Time: time.UnixMilli(1764000000000).UTC(), Document: []byte(`{"name":"` + strings.Repeat("x", 4000) + `"}`),
		}); err != nil {
			t.Fatal(err)
		}
	}
	for p.Stuck() == nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	var fault *storagefault.Error
	if err := p.Stuck(); !errors.As(err, &fault) || fault.Fault != storagefault.Full || p.State() != StateFailing {
		t.Errorf("got %v in state %s, want a full disk in state %s", err, p.State(), StateFailing)
	}
	pages(1 << 30)
	for _, p := range []*Projection{p, whole} {
		if err := p.WaitFor(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	for p.Stuck() != nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	got, err := p.Status(ctx)
	want, wantErr := whole.Status(ctx)
	if err != nil || wantErr != nil || got.Digests["users"] != want.Digests["users"] || got.Voids != 0 || p.Storage().Repaired != 0 {
		t.Errorf("got %+v, %v, want the digests of %+v, %v, no void records and no repair", got, err, want, wantErr)
	}
	halt()
	if err := errors.Join(<-ran, <-ran, p.Close(), whole.Close()); err != nil {
		t.Error(err)
	}
}
