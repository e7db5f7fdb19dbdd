package projections_test

import (
	"context"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/query"
)

// loadEvents returns the number of events that are rebuilt under load. A run that measures sets it
// in CLUSTERLITE_REBUILD_EVENTS.
func loadEvents(t testing.TB) int {
	t.Helper()
	text := os.Getenv("CLUSTERLITE_REBUILD_EVENTS")
	if text == "" {
		return 4000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("got CLUSTERLITE_REBUILD_EVENTS %q, want a number from 1 on", text)
	}
	return n
}

// fill appends n creates in large batches.
func (r *rig) fill(n int) (ids []string, end events.Position) {
	r.t.Helper()
	for len(ids) < n {
		batch := make([]events.Event, min(500, n-len(ids)))
		for i := range batch {
			id, err := uuid.NewV7()
			if err != nil {
				r.t.Fatal(err)
			}
			batch[i] = user(id.String(), "Ada", "")
			ids = append(ids, id.String())
		}
		end = r.append(batch...)
	}
	return ids, end
}

// load reads and writes until it is stopped. It fails the test if a read fails or goes back in
// time.
type load struct {
	t     testing.TB
	r     *rig
	n     *node
	ids   []string
	stop  context.CancelFunc
	done  sync.WaitGroup
	reads atomic.Int64

	mu   sync.Mutex
	slow []read
}

// A read records when a slow read began, and how long it took.
type read struct {
	began time.Time
	took  time.Duration
}

func (r *rig) load(n *node, ids []string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{t: r.t, r: r, n: n, ids: ids, stop: stop}
	for _, loop := range []func(context.Context){l.readEntities, l.readLists, l.writeAndRead} {
		l.done.Go(func() { loop(ctx) })
	}
	r.t.Cleanup(l.end)
	return l
}

func (l *load) end() { l.stop(); l.done.Wait() }

func (l *load) note(began time.Time) {
	l.reads.Add(1)
	if took := time.Since(began); took > 2*time.Millisecond {
		l.mu.Lock()
		l.slow = append(l.slow, read{began, took})
		l.mu.Unlock()
	}
}

// longest returns the duration of the longest read that overlaps a span of time.
func (l *load) longest(from, to time.Time) (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.slow {
		if r.began.Before(to) && r.began.Add(r.took).After(from) {
			longest = max(longest, r.took)
		}
	}
	return longest
}

func (l *load) readEntities(ctx context.Context) {
	last := events.Position(0)
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		_, found, at, err := l.n.Entity(context.Background(), "users", l.ids[i%len(l.ids)])
		l.note(began)
		if err != nil || !found || at < last {
			l.t.Errorf("got a read at position %d, found %v, %v, want it found at position %d or later", at, found, err, last)
			return
		}
		last = at
	}
}

func (l *load) readLists(ctx context.Context) {
	last := events.Position(0)
	for ctx.Err() == nil {
		began := time.Now()
		s, err := l.n.BeginRead(context.Background())
		if err != nil {
			l.t.Error(err)
			return
		}
		n := 0
		_, err = s.List(context.Background(), "users", query.Query{Limit: 50}, func([]byte) error { n++; return nil })
		at := s.At
		if closed := s.Close(); err != nil || closed != nil || n != 50 || at < last {
			l.t.Errorf("got a list of %d at position %d, %v, %v, want 50 at position %d or later", n, at, err, closed, last)
			return
		}
		l.note(began)
		last = at
	}
}

// writeAndRead waits for each verdict, then reads what it wrote.
func (l *load) writeAndRead(ctx context.Context) {
	for version := int64(2); ctx.Err() == nil; version++ {
		e := then(user(l.ids[0], "Ada", ""), events.Updated, version)
		expected := l.n.Expect(e.ID)
		p, err := l.r.log.Append(deadline(l.t), e)
		if err != nil {
			l.t.Error(err)
			return
		}
		began := time.Now()
		if err := l.n.WaitFor(deadline(l.t), p); err != nil {
			l.t.Error(err)
			return
		}
		got, _, at, err := l.n.Entity(context.Background(), "users", e.EntityID)
		l.note(began)
		if err != nil || got.Version != version || at < p {
			l.t.Errorf("got version %d at position %d, %v, want version %d at position %d or later", got.Version, at, err, version, p)
			return
		}
		if j := judgement(l.t, expected); j.Verdict.Outcome != events.Admitted || j.Position != p {
			l.t.Errorf("got verdict %+v, want it admitted at position %d", j, p)
			return
		}
		expected.Forget()
	}
}

// Files are swapped under constant reads and writes. No read fails or goes back in time, and every
// write is visible to the read after it.
func TestARebuildUnderReadsAndWrites(t *testing.T) {
	r, n := newRig(t), loadEvents(t)
	ids, end := r.fill(n)
	node := r.node(t.TempDir(), 0)
	if err := node.WaitFor(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	l := r.load(node, ids)
	for range 2 {
		began := time.Now()
		s := node.rebuild(projections.RebuildOptions{})
		if s.State != projections.RebuildDone || s.Position < end {
			t.Fatalf("got %+v, want it done at position %d or later", s, end)
		}
		took, swap := time.Since(began), time.Duration(s.SwapSeconds*float64(time.Second))
		t.Logf("%d events in %v, %.0f/s; the swap took %v; the longest read during it %v, and before it %v; %d reads so far",
			s.Position, took, float64(s.Position)/took.Seconds(), swap, l.longest(s.EndedAt.Add(-swap-time.Millisecond), s.EndedAt.Add(20*time.Millisecond)),
			l.longest(began, s.EndedAt.Add(-swap-time.Millisecond)), l.reads.Load())
	}
	l.end()
	end, err := r.log.End(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	want, err := r.build(t.TempDir()+"/out.db", offline.UntilPosition(end))
	if err != nil || node.at(end).digest() != want.Collections["users"].Digest.String() {
		t.Errorf("at %d: got digest %s, want %s, %v", end, node.digest(), want.Collections["users"].Digest, err)
	}
}
