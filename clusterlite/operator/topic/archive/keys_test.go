package archive_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A retry after the move gets the same answer as one before it.
func TestKeysWithinTheWindowMove(t *testing.T) {
	t.Parallel()
	from, to := newStore(t).holds(few()...), newStore(t)
	path, _ := from.export("a.jsonl")
	to.imported(path)
	p, err := projections.Open(servicetest.Context(t), projections.Options{Dir: t.TempDir(), Log: to.Log, Collections: &collections.Set{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(servicetest.Context(t))
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	if err := p.WaitFor(ctx, 4); err != nil {
		t.Error(err)
	}
	use, used, err := p.KeyUse(ctx, "order-66")
	if err != nil || !used || use.RequestHash != "abc" || use.ID != entity(0) || use.Version != 1 || !bytes.Contains(use.Rendered, []byte(`"n0"`)) {
		t.Errorf("got %+v, %v, %v, want the use of the key by the first entity", use, used, err)
	}
	stop()
	if err := errors.Join(<-ran, p.Close()); err != nil {
		t.Error(err)
	}
}

// In the old log, a key was used again after a day, and once without effect within the day. In
// the new log, all events are from the same minute.
func TestReusedKeys(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	keyed := func(n int) events.Event {
		e := user(n, events.Created, 1, n)
		e.IdempotencyKey, e.RequestHash = "nightly", "abc"
		return e
	}
	from, to := newStore(t).onWritersClocks(), newStore(t)
	from.at(start, keyed(0)).at(start.Add(23*time.Hour), keyed(1)).at(start.Add(25*time.Hour), keyed(2)).
		at(start.Add(24*time.Hour), keyed(3)). // the clock goes back
		at(start.Add(49*time.Hour), keyed(4)).at(start.Add(50*time.Hour), keyed(5))
	path, done := from.export("a.jsonl")
	// Events 1, 3 and 5 are void.
	if done.Events != 3 || done.Left != 3 || done.KeysLeft != 2 {
		t.Errorf("got the export %+v, want 3 events, 3 records and 2 keys left out", done)
	}
	if got := to.imported(path); got.Appended != 3 {
		t.Errorf("got the import %+v, want 3 appended events", got)
	}
	var keys []string
	for _, e := range admitted(t, to) {
		keys = append(keys, e.EntityID+" "+e.IdempotencyKey)
	}
	if want := []string{entity(0) + " ", entity(2) + " ", entity(4) + " nightly"}; !slices.Equal(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}

// If later events make a key expire before the end of the log, the key is free in the new log
// too.
func TestKeysThatRanOut(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	key := user(0, events.Created, 1, 0)
	key.IdempotencyKey, key.RequestHash = "once", "abc"
	for past, left := range map[time.Duration]int64{events.IdempotencyWindow - time.Millisecond: 0, events.IdempotencyWindow: 1} {
		from := newStore(t).onWritersClocks().at(start, key).at(start.Add(past), user(1, events.Created, 1, 1))
		if _, done := from.export("a.jsonl"); done.KeysLeft != left || done.Events != 2 {
			t.Errorf("after %s: got %+v, want 2 events and %d keys left out", past, done, left)
		}
	}
}
