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
	// CacheShards is the number of parts of a cache. Each has its own lock.
	CacheShards = 16
	// cachedOverhead is the memory that a cached entity needs besides its own bytes, for keys,
	// list and map.
	cachedOverhead = 350
)

// Counters outlive a cache: each generation has its own cache.
type Counters struct{ Hits, Misses, PageHits, PageMisses atomic.Int64 }

// A Cache keeps the most recently read entities and pages of lists of one generation, so that
// another read of them does not need SQLite. It returns what SQLite would return, with the
// position at which this holds, because it is closed while the generation's file changes:
//
//  1. Before the writer commits a batch, it closes the cache. All reads go to the file.
//  2. After the commit, the writer removes the changed entities and the pages of all changed
//     collections, notes the new position, and opens the cache again.
//
// So after a read that saw the new state in the file, no read gets the old state from the
// cache. An entity that was read from the file is put in only if the cache has been open since
// before that read began, so the entity is no older than the position. The state that Get and
// Put compare is a number that grows by one at each of the two steps.
//
// A nil cache keeps nothing. Safe for concurrent use, but only one goroutine at a time may
// call Change, Close, Open and Drop.
type Cache struct {
	counters *Counters
	maxBytes int64 // maximum bytes in each shard
	Quiet    time.Duration
	seed     maphash.Seed
	state    atomic.Uint64 // odd while it is closed
	Position atomic.Int64
	shards   [CacheShards]cacheShard

	// lives holds, by collection, since when its pages are valid. The map is immutable: Open
	// replaces it.
	lives   atomic.Pointer[map[string]life]
	changed []events.EntityKey // by the current batch
}

// A life is the time between two changes of a collection.
type life struct {
	number uint64 // the number of earlier changes
	since  time.Time
}

// quiet is how long a collection must be unchanged before its pages are kept. A collection that
// changes constantly would fill the cache with pages that are valid for moments.
const quiet = 100 * time.Millisecond

// A Key names an entity, or with a query a page.
type Key struct {
	events.EntityKey
	query string // empty for an entity
}

type cacheShard struct {
	mu    sync.Mutex
	items map[Key]*list.Element // of *Entry
	used  list.List             // most recently used first
	bytes int64
}

// An Entry is an entity or a page in the cache.
type Entry struct {
	key    Key
	size   int64
	Entity reads.Entity
	Page   any
	life   uint64 // of the collection, for a page
}

// New returns a cache of about bytes bytes for a file at a position, or nil if bytes is zero.
func New(bytes int64, at events.Position, counters *Counters) *Cache {
	if bytes <= 0 {
		return nil
	}
	c := &Cache{counters: counters, maxBytes: bytes / CacheShards, Quiet: quiet, seed: maphash.MakeSeed()}
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

// closedTicket is a ticket with which Put stores nothing.
const closedTicket = 1

// Get returns an entity or a page, and the position that it holds for. On a miss it returns a
// ticket for Put, which is valid for a read of the file that begins after Get. The entry must
// not be changed.
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

// Put stores what was read from the file at a position, after Get returned the ticket: a living
// entity, or a page of about bytes bytes.
func (c *Cache) Put(ticket uint64, at events.Position, key Key, e reads.Entity, page any, bytes int) {
	if c == nil || ticket%2 == 1 {
		return
	}
	size := int64(bytes+2*len(key.Collection)+2*len(key.ID)+len(key.query)+len(e.CreatedAt)+len(e.UpdatedAt)+cap(e.Rendered)) + cachedOverhead
	if size > c.maxBytes/4 {
		return // it would displace too many others
	}
	now := (*c.lives.Load())[key.Collection]
	if page != nil && time.Since(now.since) < c.Quiet {
		return
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Check under the lock: Open takes it after it changed the state, so it removes whatever is
	// stored before. The position differs if the read was of another generation.
	if c.state.Load() != ticket || at != events.Position(c.Position.Load()) {
		return
	}
	s.remove(key)
	// Clone them, or they may keep the whole request in memory.
	key.ID, key.query = strings.Clone(key.ID), strings.Clone(key.query)
	e.ID = key.ID
	s.items[key] = s.used.PushFront(&Entry{key, size, e, page, now.number})
	for s.bytes += size; s.bytes > c.maxBytes; {
		s.remove(s.used.Back().Value.(*Entry).key)
	}
}

// Change records that the current batch changes an entity.
func (c *Cache) Change(key events.EntityKey) {
	if c != nil {
		c.changed = append(c.changed, key)
	}
}

// Close sends all reads to the file until Open.
func (c *Cache) Close() {
	if c != nil && c.state.Load()%2 == 0 {
		c.state.Add(1)
	}
}

// Open lets reads use the cache again, at the new position of the file.
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

// endLives invalidates the pages of all changed collections. They are removed once they are the
// least recently used.
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

// Drop closes the cache and removes all entries, because the content of the file is unknown.
// The next committed batch opens it again.
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

// Size returns the number of entries and their size in bytes.
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

// remove requires the lock.
func (s *cacheShard) remove(key Key) {
	if found, ok := s.items[key]; ok {
		delete(s.items, key)
		s.bytes -= s.used.Remove(found).(*Entry).size
	}
}

// A Ticket belongs to a miss in the cache. Its holder may offer what it read from the file.
type Ticket struct {
	Cache  *Cache
	Number uint64
}

// PageKey returns the key of a page of a list.
func PageKey(collection, query string) Key {
	// The ? distinguishes the first page of all entities from an entity.
	return Key{EntityKey: events.EntityKey{Collection: collection}, query: "?" + query}
}
