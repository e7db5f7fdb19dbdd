package projections

import (
	"container/list"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/clusterlite/clusterlite/events"
)

const (
	// cacheShards is how many parts a cache has, each with a lock of its own.
	cacheShards = 16
	// cachedOverhead is what a cached entity takes beside its own bytes: keys, list, map.
	cachedOverhead = 350
)

// CacheStats tell how much the cache of entities does.
type CacheStats struct {
	// Hits and Misses are the reads of single entities that it answered, and that it did
	// not, since the projection was opened.
	Hits, Misses int64
	// Entities are in it, and take about so many Bytes.
	Entities, Bytes int64
}

// cacheCounters outlive a cache: each generation has one of its own.
type cacheCounters struct{ hits, misses atomic.Int64 }

// An entityCache keeps the entities of one generation that were read last, so that to read
// one again needs no SQLite. What it gives is what SQLite would give, as of the position
// that it gives with it, because it is closed while the generation's file changes:
//
//  1. Before the writer commits a batch it closes the cache. All reads go to the file.
//  2. After the commit it removes what the batch changed, notes the new position, and opens
//     the cache again.
//
// So a read that saw the new state in the file is never followed by one that gets the old
// state from the cache. An entity that was read from the file is put in only if the cache
// was open all the time since before that read began, so it is no older than the position.
// The state that get and put compare is a number that grows by one at each of the two steps.
//
// A nil cache keeps nothing. Safe for concurrent use, but one goroutine at a time writes:
// it alone calls change, close, open and drop.
type entityCache struct {
	counters *cacheCounters
	most     int64 // bytes in each shard
	seed     maphash.Seed
	state    atomic.Uint64 // odd while it is closed
	position atomic.Int64
	shards   [cacheShards]cacheShard

	changed []events.EntityKey // by the batch that is being applied
}

type cacheShard struct {
	mu    sync.Mutex
	items map[events.EntityKey]*list.Element // of *cachedEntity
	used  list.List                          // the last used first
	bytes int64
}

type cachedEntity struct {
	key  events.EntityKey
	size int64
	Entity
}

// newEntityCache makes a cache of so many bytes for a file at a position. It is nil if there
// is no room for anything.
func newEntityCache(bytes int64, at events.Position, counters *cacheCounters) *entityCache {
	if bytes <= 0 {
		return nil
	}
	c := &entityCache{counters: counters, most: bytes / cacheShards, seed: maphash.MakeSeed()}
	c.position.Store(int64(at))
	for i := range c.shards {
		c.shards[i].items = map[events.EntityKey]*list.Element{}
	}
	return c
}

func (c *entityCache) shard(key events.EntityKey) *cacheShard {
	return &c.shards[maphash.String(c.seed, key.ID)%cacheShards]
}

// get gives an entity, and the position that it holds for. If it has none it gives a ticket
// for put, to be taken before the entity is read from the file.
func (c *entityCache) get(key events.EntityKey) (e Entity, at events.Position, ticket uint64, ok bool) {
	if c == nil {
		return Entity{}, 0, closedTicket, false
	}
	ticket = c.state.Load()
	if ticket%2 == 0 {
		at = events.Position(c.position.Load())
		if e, ok = c.shard(key).get(key); ok && c.state.Load() == ticket {
			c.counters.hits.Add(1)
			return e, at, ticket, true
		}
	}
	c.counters.misses.Add(1)
	return Entity{}, 0, ticket, false
}

// closedTicket is one that put takes nothing with.
const closedTicket = 1

// put keeps a living entity that was read from the file after get gave the ticket.
func (c *entityCache) put(ticket uint64, key events.EntityKey, e Entity) {
	if c == nil || ticket%2 == 1 {
		return
	}
	size := int64(2*len(key.Collection) + 2*len(key.ID) + len(e.CreatedAt) + len(e.UpdatedAt) + cap(e.Rendered) + cachedOverhead)
	if size > c.most/4 {
		return // it would take the place of too many others
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock: open takes it after the state has changed, so that it removes whatever
	// is put in before.
	if c.state.Load() != ticket {
		return
	}
	s.remove(key)
	key.ID = strings.Clone(key.ID) // else all of a request might be kept with it
	e.ID = key.ID
	s.items[key] = s.used.PushFront(&cachedEntity{key, size, e})
	for s.bytes += size; s.bytes > c.most; {
		s.remove(s.used.Back().Value.(*cachedEntity).key)
	}
}

// change notes that the batch which is being applied changes an entity.
func (c *entityCache) change(key events.EntityKey) {
	if c != nil {
		c.changed = append(c.changed, key)
	}
}

// close has all reads go to the file, until open.
func (c *entityCache) close() {
	if c != nil && c.state.Load()%2 == 0 {
		c.state.Add(1)
	}
}

// open has reads come to the cache again, at the position that the file has now.
func (c *entityCache) open(at events.Position) {
	if c == nil {
		return
	}
	for _, key := range c.changed {
		s := c.shard(key)
		s.mu.Lock()
		s.remove(key)
		s.mu.Unlock()
	}
	c.changed = c.changed[:0]
	c.position.Store(int64(at))
	c.state.Add(1)
}

// drop closes the cache and forgets all that is in it: it is not known what the file holds.
// The next batch that is committed opens it again.
func (c *entityCache) drop() {
	if c == nil {
		return
	}
	c.close()
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

// size tells how many entities there are, and how many bytes they take.
func (c *entityCache) size() (entities, bytes int64) {
	if c == nil {
		return 0, 0
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entities, bytes = entities+int64(len(s.items)), bytes+s.bytes
		s.mu.Unlock()
	}
	return entities, bytes
}

func (s *cacheShard) get(key events.EntityKey) (Entity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.items[key]
	if !ok {
		return Entity{}, false
	}
	s.used.MoveToFront(found)
	return found.Value.(*cachedEntity).Entity, true
}

// remove is for the holder of the lock.
func (s *cacheShard) remove(key events.EntityKey) {
	if found, ok := s.items[key]; ok {
		delete(s.items, key)
		s.bytes -= s.used.Remove(found).(*cachedEntity).size
	}
}
