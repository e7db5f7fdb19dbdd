package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// A history is a log of changes to a few entities, with the versions at each position.
type history struct {
	ids      []string
	events   []events.Event
	versions []map[string]int64 // indexed by position; a negative version means that the entity is deleted
}

// newHistory returns a history of n changes, which it draws from random.
func newHistory(n int, random *rand.Rand) *history {
	h := &history{versions: []map[string]int64{{}}}
	for i := range 12 {
		h.ids = append(h.ids, fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i))
	}
	for range n {
		id := h.ids[random.IntN(len(h.ids))]
		now := map[string]int64{}
		for id, v := range h.versions[len(h.versions)-1] {
			now[id] = v
		}
		e := events.Event{Collection: "products", EntityID: id, Kind: events.Created, Version: 1}
		switch v := now[id]; {
		case v < 0 && random.IntN(2) == 0:
			e.Kind, e.Version = events.Restored, 1-v
		case v < 0:
			h.versions, h.events = append(h.versions, now), append(h.events, events.Event{Collection: "products", EntityID: h.fresh(), Kind: events.Created, Version: 1, Document: []byte(`{}`)})
			continue
		case v > 0:
			e.Kind, e.Version = events.Updated, v+1
			if random.IntN(40) == 0 {
				e.Kind = events.Deleted
			}
		}
		now[id] = e.Version
		if e.Kind == events.Deleted {
			now[id] = -e.Version
		} else {
			e.Document = fmt.Appendf(nil, `{"name":"%s version %d"}`, id, e.Version)
		}
		h.versions, h.events = append(h.versions, now), append(h.events, e)
	}
	return h
}

// fresh returns an id that no other event uses.
func (h *history) fresh() string { return fmt.Sprintf("0193a1a0-0000-7000-9000-%012x", len(h.events)) }

// check compares the result of a read with the log at the same position.
func (h *history) check(id string, e reads.Entity, found bool, at events.Position) error {
	want := h.versions[at][id]
	got := e.Version
	if e.Deleted {
		got = -got
	}
	switch text := fmt.Sprintf(`"name":"%s version %d"`, id, want); {
	case found != (want != 0) || got != want:
		return fmt.Errorf("got version %d, found %t, want version %d", got, found, want)
	case want > 0 && !contains(e.Rendered, text):
		return fmt.Errorf("got %s, want %s", e.Rendered, text)
	}
	return nil
}

func contains(b []byte, text string) bool {
	for i := range len(b) - len(text) + 1 {
		if string(b[i:i+len(text)]) == text {
			return true
		}
	}
	return false
}

// onFileCached returns a projection with a cache over a file that is written without a broker.
func onFileCached(f *file, bytes int64) *Projection {
	p := &Projection{options: Options{CacheBytes: bytes}.withDefaults()}
	p.serve(generation.New(f.db, f.w))
	return p
}

// Whatever is applied during a read, and whatever fails, the answer matches the log at its
// position. No answer is older than one that the same reader got before.
func TestReadsAgreeWithTheLogWhileItIsApplied(t *testing.T) {
	for name, bytes := range map[string]int64{"no cache": 0, "a small cache": entitycache.CacheShards * 4 * 1000, "a large cache": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			f, _ := newProducts(t)
			p := onFileCached(f, bytes)
			h := newHistory(1000, rand.New(rand.NewPCG(1, 2)))
			applied := make(chan struct{})
			var readers sync.WaitGroup
			for n := range 4 {
				random := rand.New(rand.NewPCG(3, uint64(n)))
				readers.Go(func() {
					last := events.Position(0)
					for i := 0; ; i++ {
						id := h.ids[random.IntN(len(h.ids))]
						e, found, at, err := p.Entity(context.Background(), "products", id)
						if err == nil {
							err = h.check(id, e, found, at)
						}
						if err != nil || at < last {
							t.Errorf("%s: got position %d, %v, want at least position %d, and the version of the log", id, at, err, last)
							return
						}
						last = at
						if isClosed(applied) && i > 1000 {
							return
						}
					}
				})
			}
			random := rand.New(rand.NewPCG(5, 6))
			for rest := h.events; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(5))
				if random.IntN(20) == 0 {
					f.failToCommit(t)
				}
				f.applyAll(t, rest[:n]...)
				rest = rest[n:]
				runtime.Gosched()
			}
			close(applied)
			readers.Wait()
			if got := p.Cache(); (got.Hits > 0) != (bytes > 0) || got.Bytes > bytes {
				t.Errorf("got %+v, want at most %d bytes, and hits only with a cache", got, bytes)
			}
		})
	}
}

// The same holds for pages of lists.
func TestPagesAgreeWithTheLogWhileItIsApplied(t *testing.T) {
	f, _ := newProducts(t)
	p := onFileCached(f, 1<<20)
	p.serving.Load().Cache.Quiet = 0
	h := newHistory(400, rand.New(rand.NewPCG(7, 8)))
	applied := make(chan struct{})
	var readers sync.WaitGroup
	for n := range 4 {
		random := rand.New(rand.NewPCG(9, uint64(n)))
		readers.Go(func() {
			last := events.Position(0)
			for i := 0; !isClosed(applied) || i < 300; i++ {
				got, at, err := readPage(p, fmt.Sprint("limit=", 1+random.IntN(3)))
				want := h.page(at)
				if err != nil || got != want || at < last {
					t.Errorf("got %s at position %d, %v, want %s at position %d or later", got, at, err, want, last)
					return
				}
				last = at
			}
		})
	}
	for _, e := range h.events {
		f.applyAll(t, e)
		runtime.Gosched()
	}
	close(applied)
	readers.Wait()
	if got := p.Cache(); got.PageHits == 0 || got.PageMisses == 0 {
		t.Errorf("got %+v, want hits and misses", got)
	}
}

// readPage reads all living entities as the page of the query that key names.
func readPage(p *Projection, key string) (string, events.Position, error) {
	known, at, ticket := p.CachedPage("products", key)
	if known != nil {
		return known.(string), at, nil
	}
	s, err := p.BeginRead(context.Background())
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = s.Close() }()
	page := ""
	_, err = s.List(context.Background(), "products", query.Query{}, func(rendered []byte) error {
		var e struct{ ID, Name string }
		err := json.Unmarshal(rendered, &e)
		if e.Name != "" { // an entity whose id is used once has no name
			page += e.Name + ","
		}
		return err
	})
	p.KeepPage(ticket, s.At, "products", key, page, len(page))
	return page, s.At, err
}

// page returns what readPage must return at a position.
func (h *history) page(at events.Position) (page string) {
	for _, id := range h.ids {
		if v := h.versions[at][id]; v > 0 {
			page += fmt.Sprintf("%s version %d,", id, v)
		}
	}
	return page
}

// The cache keeps no pages of a collection that changes all the time.
func TestPagesOfABusyCollectionAreNotKept(t *testing.T) {
	f, _ := newProducts(t)
	p := onFileCached(f, 1<<20)
	f.applyAll(t, created(t, product{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"name": "a"}}))
	p.serving.Load().Cache.Quiet = time.Hour
	for _, query := range []string{"a", "a"} {
		if _, _, err := readPage(p, query); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Cache(); got.PageHits != 0 || got.Entries != 0 {
		t.Errorf("got %+v, want no hit and no entry", got)
	}
}

// failToCommit applies a batch that fails when it commits.
func (f *file) failToCommit(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := events.Event{Source: "/test", ID: "0193a1a0-0000-7000-9000-000000000000", Collection: "products", EntityID: "0193a1a0-0000-7000-8000-000000000000", Kind: events.Created, Version: 1, Document: []byte(`{}`)}
	if _, err := f.w.Apply(ctx, []events.Record{{Offset: int64(f.w.Position), Event: e}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
}

// An entity that was read before a commit would be stale, so the cache does not keep it. A
// closed cache keeps nothing.
func TestStaleEntitiesAreNotCached(t *testing.T) {
	key := entitycache.Key{EntityKey: events.EntityKey{Collection: "products", ID: "a"}}
	ticket := func(c *entitycache.Cache) uint64 {
		found, _, ticket := c.Get(key)
		if found != nil {
			t.Fatal("got an entity, want none before Put")
		}
		return ticket
	}
	for name, c := range map[string]struct {
		do   func(*entitycache.Cache) uint64
		want bool
	}{
		"nothing was applied": {ticket, true},
		"a commit since": {func(c *entitycache.Cache) uint64 {
			before := ticket(c)
			c.Close()
			c.Open(8)
			return before
		}, false},
		"a commit under way": {func(c *entitycache.Cache) uint64 { c.Close(); return ticket(c) }, false},
		"read while a commit was under way": {func(c *entitycache.Cache) uint64 {
			c.Close()
			during := ticket(c)
			c.Open(8)
			return during
		}, false},
		"changed, and read afterwards": {func(c *entitycache.Cache) uint64 { c.Change(key.EntityKey); c.Close(); c.Open(8); return ticket(c) }, true},
		"a batch failed":               {func(c *entitycache.Cache) uint64 { c.Close(); c.Drop(); return ticket(c) }, false},
		"a batch failed, then one did not": {func(c *entitycache.Cache) uint64 {
			c.Close()
			c.Drop()
			c.Close()
			c.Open(8)
			return ticket(c)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			cache := entitycache.New(1<<20, 7, &entitycache.Counters{})
			cache.Put(c.do(cache), events.Position(cache.Position.Load()), key, reads.Entity{Version: 3}, nil, 0)
			if found, _, _ := cache.Get(key); (found != nil) != c.want || found != nil && found.Entity.Version != 3 {
				t.Errorf("got %+v, want an entity: %t", found, c.want)
			}
		})
	}
}

// A page that was read from a new generation is not put into the cache of the generation that
// it replaced, which is at an earlier position.
func TestPagesOfALaterGenerationAreNotCached(t *testing.T) {
	f, _ := newProducts(t)
	p := onFileCached(f, 1<<20)
	p.serving.Load().Cache.Quiet = 0
	f.applyAll(t, created(t, product{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"name": "a"}}))
	_, _, ticket := p.CachedPage("products", "")
	for _, later := range []events.Position{1, 0} {
		p.KeepPage(ticket, f.w.Position+later, "products", "", "a page", 6)
		if page, _, _ := p.CachedPage("products", ""); (page != nil) != (later == 0) {
			t.Errorf("read %d positions later: got page %v, want a page: %t", later, page, later == 0)
		}
	}
}

// A batch removes the entities that it changes from the cache. The others stay, and are valid
// at the new position.
func TestACommitRemovesWhatItChanges(t *testing.T) {
	f, _ := newProducts(t)
	p := onFileCached(f, 1<<20)
	const changed, left = "0193a1a0-0000-7000-8000-000000000001", "0193a1a0-0000-7000-8000-000000000002"
	f.applyAll(t, created(t, product{changed, map[string]any{"name": "a"}}), created(t, product{left, map[string]any{"name": "b"}}))
	read := func(id string, version int64, hits int64) {
		t.Helper()
		before := p.Cache().Hits
		e, _, at, err := p.Entity(t.Context(), "products", id)
		if got := p.Cache().Hits - before; err != nil || e.Version != version || e.ID != id || at != f.w.Position || got != hits {
			t.Errorf("got %+v at position %d, %d hits, %v, want version %d at position %d, %d hits", e, at, got, err, version, f.w.Position, hits)
		}
	}
	for _, id := range []string{changed, left} {
		read(id, 1, 0)
		read(id, 1, 1)
	}
	f.applyAll(t, events.Event{Collection: "products", EntityID: changed, Kind: events.Updated, Version: 2, Document: []byte(`{}`)})
	read(left, 1, 1)
	read(changed, 2, 0)
	read(changed, 2, 1)
	f.applyAll(t, events.Event{Collection: "products", EntityID: changed, Kind: events.Deleted, Version: 3})
	read(changed, 3, 0)
	read(changed, 3, 0) // the cache keeps no deleted entities
}

// The setting limits the memory that the cache takes.
func TestTheCacheIsBounded(t *testing.T) {
	const maxBytes = 1 << 20
	c := entitycache.New(maxBytes, 0, &entitycache.Counters{})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range 20_000 {
		key := entitycache.Key{EntityKey: events.EntityKey{Collection: "products", ID: fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i)}}
		_, _, ticket := c.Get(key)
		c.Put(ticket, 0, key, reads.Entity{CreatedAt: fmt.Sprint(i, "2026-11-24T12:00:00.000Z")[:24], UpdatedAt: fmt.Sprint(i, "2026-11-24T12:00:00.000Z")[:24], Rendered: make([]byte, 200)}, nil, 0)
	}
	took := heap() - before
	entities, bytes := c.Size()
	if entities < 1000 || bytes > maxBytes || took > maxBytes*5/4 {
		t.Errorf("got %d entities that count %d bytes and take %d, want at least 1,000 in at most %d bytes", entities, bytes, took, maxBytes)
	}
	huge := entitycache.Key{EntityKey: events.EntityKey{Collection: "products", ID: "huge"}}
	_, _, ticket := c.Get(huge)
	c.Put(ticket, 0, huge, reads.Entity{Rendered: make([]byte, maxBytes/entitycache.CacheShards/2)}, nil, 0)
	if found, _, _ := c.Get(huge); found != nil {
		t.Error("got an entity that takes half of a shard, want it not to be kept")
	}
	runtime.KeepAlive(c)
}
