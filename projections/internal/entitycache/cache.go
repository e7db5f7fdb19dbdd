// Package entitycache keeps recently read entities and pages of lists in memory.
package entitycache

import (
	"container/list"
	"hash/maphash"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/reads"
)

const (
	// CacheShards is how many parts a cache has, each with a lock of its own.
	CacheShards = 16
	// cachedOverhead is what a cached entity takes beside its own bytes: keys, list, map.
	cachedOverhead = 350
)

// Counters outlive a cache: each generation has one of its own.
type Counters struct{ Hits, Misses, PageHits, PageMisses atomic.Int64 }

// A Cache keeps the entities and the pages of lists of one generation that were read last,
// so that to read one again needs no SQLite. What it gives is what SQLite would give, as of
// the position that it gives with it, because it is closed while the generation's file
// changes:
//
//  1. Before the writer commits a batch it closes the cache. All reads go to the file.
//  2. After the commit it removes the entities and the pages of all collections that the
//     batch changed, notes the new position, and opens the cache again.
//
// So a read that saw the new state in the file is never followed by one that gets the old
// state from the cache. An entity that was read from the file is put in only if the cache
// was open all the time since before that read began, so it is no older than the position.
// The state that get and put compare is a number that grows by one at each of the two steps.
//
// A nil cache keeps nothing. Safe for concurrent use, but one goroutine at a time writes:
// it alone calls change, close, open and drop.
type Cache struct {
	counters *Counters
	most     int64 // bytes in each shard
	Quiet    time.Duration
	seed     maphash.Seed
	state    atomic.Uint64 // odd while it is closed
	Position atomic.Int64
	shards   [CacheShards]cacheShard

	// lives holds, by collection, since when its pages are valid. The map is never changed:
	// open puts another in its place.
	lives   atomic.Pointer[map[string]life]
	changed []events.EntityKey // by the batch that is being applied
}

// A life is the time between two changes of a collection.
type life struct {
	number uint64 // how many changes there were before
	since  time.Time
}

// quiet is for how long a collection must not have changed before pages of it are kept. One
// that changes all the time would fill the cache with pages that are good for moments.
const quiet = 100 * time.Millisecond

// A Key names an entity, or by its query a page.
type Key struct {
	events.EntityKey
	query string // empty for an entity
}

type cacheShard struct {
	mu    sync.Mutex
	items map[Key]*list.Element // of *cached
	used  list.List             // the last used first
	bytes int64
}

type Entry struct {
	key    Key
	size   int64
	Entity reads.Entity
	Page   any
	life   uint64 // of the collection, for a page
}

// New makes a cache of so many bytes for a file at a position. It is nil if there
// is no room for anything.
func New(bytes int64, at events.Position, counters *Counters) *Cache {
	if bytes <= 0 {
		return nil
	}
	c := &Cache{counters: counters, most: bytes / CacheShards, Quiet: quiet, seed: maphash.MakeSeed()}
	c.Position.Store(int64(at))
	c.lives.Store(&map[string]life{})
	for i := range c.shards {
		c.shards[i].items = map[Key]*list.Element{}
	}
	return c
}

func (c *Cache) shard(key Key) *cacheShard {
	return &c.shards[(maphash.String(c.seed, key.ID)^maphash.String(c.seed, key.query))%CacheShards]
}

// closedTicket is one that put takes nothing with.
const closedTicket = 1

// Get gives an entity or a page, and the position that it holds for. If it has none it gives
// a ticket for put, to be taken before the file is read. What it gives must not be changed.
func (c *Cache) Get(key Key) (found *Entry, at events.Position, ticket uint64) {
	if c == nil {
		return nil, 0, closedTicket
	}
	if ticket = c.state.Load(); ticket%2 == 1 {
		return nil, 0, ticket
	}
	at = events.Position(c.Position.Load())
	if found = c.shard(key).get(key); found == nil || found.Page != nil && found.life != (*c.lives.Load())[key.Collection].number || c.state.Load() != ticket {
		return nil, 0, ticket
	}
	return found, at, ticket
}

// Put keeps what was read from the file at a position, after get gave the ticket: a living
// entity, or a page that takes so many bytes.
func (c *Cache) Put(ticket uint64, at events.Position, key Key, e reads.Entity, page any, bytes int) {
	if c == nil || ticket%2 == 1 {
		return
	}
	size := int64(bytes+2*len(key.Collection)+2*len(key.ID)+len(key.query)+len(e.CreatedAt)+len(e.UpdatedAt)+cap(e.Rendered)) + cachedOverhead
	if size > c.most/4 {
		return // it would take the place of too many others
	}
	now := (*c.lives.Load())[key.Collection]
	if page != nil && time.Since(now.since) < c.Quiet {
		return
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock: open takes it after the state has changed, so that it removes whatever
	// is put in before. The position differs if what was read is of another generation.
	if c.state.Load() != ticket || at != events.Position(c.Position.Load()) {
		return
	}
	s.remove(key)
	// Clones, or all of a request might be kept with them.
	key.ID, key.query = strings.Clone(key.ID), strings.Clone(key.query)
	e.ID = key.ID
	s.items[key] = s.used.PushFront(&Entry{key, size, e, page, now.number})
	for s.bytes += size; s.bytes > c.most; {
		s.remove(s.used.Back().Value.(*Entry).key)
	}
}

// Change notes that the batch which is being applied changes an entity.
func (c *Cache) Change(key events.EntityKey) {
	if c != nil {
		c.changed = append(c.changed, key)
	}
}

// Close has all reads go to the file, until open.
func (c *Cache) Close() {
	if c != nil && c.state.Load()%2 == 0 {
		c.state.Add(1)
	}
}

// Open has reads come to the cache again, at the position that the file has now.
func (c *Cache) Open(at events.Position) {
	if c == nil {
		return
	}
	for _, changed := range c.changed {
		key := Key{EntityKey: changed}
		s := c.shard(key)
		s.mu.Lock()
		s.remove(key)
		s.mu.Unlock()
	}
	c.endLives()
	c.changed = c.changed[:0]
	c.Position.Store(int64(at))
	c.state.Add(1)
}

// endLives makes the pages of all collections that were changed stale. They make room when
// they are the last used.
func (c *Cache) endLives() {
	if len(c.changed) == 0 {
		return
	}
	now, lives := time.Now(), maps.Clone(*c.lives.Load())
	for i, key := range c.changed {
		if i == 0 || key.Collection != c.changed[i-1].Collection {
			lives[key.Collection] = life{lives[key.Collection].number + 1, now}
		}
	}
	c.lives.Store(&lives)
}

// Drop closes the cache and forgets all that is in it: it is not known what the file holds.
// The next batch that is committed opens it again.
func (c *Cache) Drop() {
	if c == nil {
		return
	}
	c.Close()
	c.changed = nil
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		clear(s.items)
		s.used.Init()
		s.bytes = 0
		s.mu.Unlock()
	}
}

// Size returns the number of entities and pages, and how many bytes they take.
func (c *Cache) Size() (entries, bytes int64) {
	if c == nil {
		return 0, 0
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries, bytes = entries+int64(len(s.items)), bytes+s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}

func (s *cacheShard) get(key Key) *Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.items[key]
	if !ok {
		return nil
	}
	s.used.MoveToFront(found)
	return found.Value.(*Entry)
}

// remove is for the holder of the lock.
func (s *cacheShard) remove(key Key) {
	if found, ok := s.items[key]; ok {
		delete(s.items, key)
		s.bytes -= s.used.Remove(found).(*Entry).size
	}
}

// A Ticket is for what was not in the cache: see [projections.KeepPage].
type Ticket struct {
	Cache  *Cache
	Number uint64
}

func PageKey(collection, query string) Key {
	// The ? distinguishes the first page of all entities from an entity.
	return Key{EntityKey: events.EntityKey{Collection: collection}, query: "?" + query}
}
