package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite/direct"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// distinct returns a query whose statements differ from those of every other n.
func distinct(t testing.TB, n int) query.Query {
	t.Helper()
	_, c := products(t)
	q := query.Query{Limit: 3, Sort: []query.SortKey{{Column: column(t, c, "stock")}}}
	for bit, filter := range []query.Filter{
		{Column: column(t, c, "name"), Op: query.Greater, Values: []any{"a"}}, {Column: column(t, c, "price"), Op: query.Less, Values: []any{1.0}}, {Column: column(t, c, "code"), Op: query.NotEqual, Values: []any{"x"}},
		{Column: column(t, c, "sold"), Op: query.Equal, Values: []any{true}}, {Column: column(t, c, "version"), Op: query.GreaterOrEqual, Values: []any{int64(1)}},
	} {
		if n>>bit&1 == 1 {
			q.Filters = append(q.Filters, filter)
		}
	}
	return q
}

// within fails the test unless do returns soon. The bound is far above the time that do takes. It
// detects only a wait that never ends.
func within(t testing.TB, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: got a timeout, want it to return", what)
	}
}

// Every connection lists at the same time, each with a statement that was never prepared before.
// Each list gets its answer, and none waits for a second connection.
func TestNewQueriesAtOnceAreAnswered(t *testing.T) {
	f, _ := newProducts(t)
	p := onFile(f)
	f.applyAll(t, created(t, product{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"name": "b"}}))
	open := make([]*reads.Tx, sqlite.ListReaders)
	for i := range open {
		s, err := p.BeginRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open[i] = s
	}
	within(t, "lists on every connection", func() {
		var all sync.WaitGroup
		for i, s := range open {
			q := distinct(t, i)
			all.Go(func() {
				if _, err := s.List(t.Context(), "products", q, func([]byte) error { return nil }); err != nil {
					t.Errorf("list %d: got %v, want an answer", i, err)
				}
			})
		}
		all.Wait()
	})
	// Reads of one entity have connections of their own.
	within(t, "a read of one entity", func() {
		if _, found, _, err := p.Entity(t.Context(), "products", "0193a1a0-0000-7000-8000-000000000001"); err != nil || !found {
			t.Errorf("got found %t, %v, want it found", found, err)
		}
	})
	for _, s := range open {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A read that finds no free connection waits for one, but no longer than its caller and never
// forever. Then its error says why it failed.
func TestAReadWaitsForAConnection(t *testing.T) {
	f, _ := newProducts(t)
	p := onFile(f)
	f.db.Lists.Patience = 10 * time.Millisecond
	var open []*reads.Tx
	for range sqlite.ListReaders {
		s, err := p.BeginRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	if _, err := p.BeginRead(t.Context()); !errors.Is(err, ErrOverloaded) {
		t.Errorf("with every connection in use: got %v, want %v", err, ErrOverloaded)
	}
	f.db.Lists.Patience = time.Hour
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := p.BeginRead(ended); !errors.Is(err, context.Canceled) || errors.Is(err, ErrOverloaded) {
		t.Errorf("a caller that has stopped waiting: got %v, want %v", err, context.Canceled)
	}
	got := make(chan error)
	go func() {
		s, err := p.BeginRead(t.Context())
		if err == nil {
			err = s.Close()
		}
		got <- err
	}()
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("once a connection is free: got %v, want a read", err)
	}
	for _, s := range open {
		if err := s.Close(); err != nil { // this closes the first one a second time
			t.Fatal(err)
		}
	}
}

// A connection keeps a bounded number of prepared statements, however many texts and failures it
// meets.
func TestKeptStatementsAreBounded(t *testing.T) {
	f, _ := newProducts(t)
	p := onFile(f)
	for i := range 4 * sqlite.KeptStatements {
		s, err := p.BeginRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := s.Get(t.Context(), &n, fmt.Sprintf(`SELECT %d`, i)); err != nil || n != i {
			t.Errorf("got %d, %v, want %d", n, err, i)
		}
		if err := s.Get(t.Context(), &n, fmt.Sprintf(`SELECT nothing_%d`, i)); err == nil {
			t.Error("got no error from an invalid statement, want one")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.db.Lists.Idle(); n != 1 {
		t.Errorf("got %d connections for reads one after the other, want 1", n)
	}
}

// A node whose reads cannot get a connection for a long time is not ready. It is ready again as
// soon as a connection is free.
func TestStuckReadsMakeANodeUnready(t *testing.T) {
	f, _ := newProducts(t)
	p := onFile(f)
	f.db.Lists.Patience = time.Millisecond
	var open []*reads.Tx
	for range sqlite.ListReaders {
		s, err := p.BeginRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	if _, err := p.BeginRead(t.Context()); !errors.Is(err, ErrOverloaded) {
		t.Fatalf("got %v, want %v", err, ErrOverloaded)
	}
	if err := p.starved(); err != nil {
		t.Errorf("after a moment: got %v, want none, because it may be a burst", err)
	}
	f.db.Lists.Starved.Store(time.Now().Add(-2 * stuckAfter).UnixNano())
	if err := p.starved(); err == nil {
		t.Errorf("after %s: got no error, want one", 2*stuckAfter)
	}
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.starved(); err != nil {
		t.Errorf("with a free connection: got %v, want none", err)
	}
	for _, s := range open[1:] {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Reads of entities wait for a connection as all others do, and fail once the file is closed.
func TestReadsOfEntitiesAreLimited(t *testing.T) {
	f, _ := newProducts(t)
	p := onFile(f)
	id := "0193a1a0-0000-7000-8000-000000000001"
	f.applyAll(t, created(t, product{id, map[string]any{"name": "b"}}))
	read := func() error {
		_, found, _, err := p.Entity(t.Context(), "products", id)
		if err == nil && !found {
			err = errors.New("the entity is missing")
		}
		return err
	}
	f.db.Entities.Patience = 10 * time.Millisecond
	var open []*direct.Conn
	for {
		c, err := f.db.Entities.Acquire(t.Context())
		if errors.Is(err, ErrOverloaded) {
			break
		}
		if err != nil || len(open) == 1000 {
			t.Fatalf("got %v with %d connections open, want a limit", err, len(open))
		}
		open = append(open, c)
	}
	if err := read(); !errors.Is(err, ErrOverloaded) {
		t.Errorf("with every connection in use: got %v, want %v", err, ErrOverloaded)
	}
	f.db.Entities.Starved.Store(time.Now().Add(-2 * stuckAfter).UnixNano())
	if err := p.starved(); err == nil {
		t.Errorf("without a connection for %s: got a ready node, want an error", 2*stuckAfter)
	}
	f.db.Entities.Release(open[0])
	if err := errors.Join(p.starved(), read()); err != nil {
		t.Errorf("with a free connection: got %v", err)
	}
	if err := f.db.Entities.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range open[1:] {
		f.db.Entities.Release(c)
	}
	if _, err := f.db.Entities.Acquire(t.Context()); err == nil {
		t.Error("after the pool was closed: got a connection, want an error")
	}
}
