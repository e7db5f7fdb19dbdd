package applier

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// filterBits is the number of bits that a filter has for each claim. With four of them set
	// for each claim, a filter takes about one free claim in 400 for one that may be held.
	filterBits = 16
	// filterProbes is the number of bits that stand for a claim.
	filterProbes = 4
	// FilterMinClaims is the capacity of the smallest filter, which takes 128 KiB.
	FilterMinClaims = 64 << 10
	// filterPays is the number of lookups after which a filter pays in a process that does not decide
	// commands.
	filterPays = 1000
	// filterRetry is the pause after a filter could not be filled.
	filterRetry = 5 * time.Second
)

// A ClaimFilter knows, without asking SQLite, that most claims are free. Nearly every create
// looks up claims that no entity holds, and such a lookup costs more than the rest of the
// decision.
//
// It is a Bloom filter of all claims in the file, and perhaps of some that were released. It
// never reports a claim as free that an entity holds in a committed state:
//
//  1. The writer adds the claims of a batch before it commits the batch.
//  2. A new filter is registered with the writer between two batches, and only then filled with
//     the recent claims, and after them with the claims in their table. A claim that is committed
//     before the registration is found in one of them, unless a later batch removes it: it leaves the
//     recent claims only for the table. A claim of a later batch is added by the writer.
//  3. A filter answers nothing until it is full.
//
// Safe for concurrent use, but only the writer's goroutine calls begin, add, end and forget.
type ClaimFilter struct {
	seed    maphash.Seed
	Serving atomic.Pointer[bloom] // nil until a filter is full
	filling atomic.Bool           // a goroutine fills the next filter
	retry   atomic.Int64          // when to fill a filter again after a failure, in Unix nanoseconds

	// batch is held during a batch, so that filters change only between batches. It guards
	// next.
	batch sync.Mutex
	next  *bloom // the filter that is being filled, or nil
}

// NewClaimFilter returns a filter that has to be filled.
func NewClaimFilter() *ClaimFilter { return &ClaimFilter{seed: maphash.MakeSeed()} }

// Free reports whether no entity holds a claim. If it returns false, an entity may hold it.
func (f *ClaimFilter) Free(collection string, claim []byte) bool {
	b := f.Serving.Load()
	return b != nil && !b.has(f.key(collection, claim))
}

// key mixes a claim, which is a part of a SHA-256 already, with its collection.
func (f *ClaimFilter) key(collection string, claim []byte) [2]uint64 {
	return [2]uint64{
		binary.LittleEndian.Uint64(claim) ^ maphash.String(f.seed, collection),
		binary.LittleEndian.Uint64(claim[8:]),
	}
}

// Begin and End enclose a batch, including its commit.
func (f *ClaimFilter) Begin() { f.batch.Lock() }

func (f *ClaimFilter) End() { f.batch.Unlock() }

// add records a claim that the current batch gives to an entity.
func (f *ClaimFilter) add(collection string, claim []byte) {
	key := f.key(collection, claim)
	if b := f.Serving.Load(); b != nil {
		b.add(key)
	}
	if f.next != nil {
		f.next.add(key)
	}
}

// Forget removes all filters during a batch. Another filter is filled when it is next needed.
func (f *ClaimFilter) Forget() {
	f.Serving.Store(nil)
	f.next = nil
}

// FilterPays reports whether many claims were looked up in their table since the last time that it
// returned true. Nearly all of them are free. Only the writer's goroutine calls it.
func (m *Entities) FilterPays() bool {
	if m.lookedUp < filterPays {
		return false
	}
	m.lookedUp = 0
	return true
}

// Wanted reports whether there is no filter, or only one that holds more claims than it has
// room for, and none is being filled. If so, the caller has to call Fill.
func (f *ClaimFilter) Wanted() bool {
	if b := f.Serving.Load(); b != nil && b.count.Load() <= b.capacity {
		return false
	}
	return !f.filling.Load() && time.Now().UnixNano() >= f.retry.Load() && f.filling.CompareAndSwap(false, true)
}

// Fill creates a filter with room for about claims claims, and calls scan, which adds the recent claims
// and then those in their table. Then it replaces the previous filter. scan must begin its reads after it
// was called.
func (f *ClaimFilter) Fill(claims int64, scan func(add func(collection string, claim []byte)) error) error {
	defer f.filling.Store(false)
	if b := f.Serving.Load(); b != nil {
		claims = max(claims, b.count.Load())
	}
	next := NewBloom(max(2*claims, FilterMinClaims))
	f.batch.Lock()
	f.next = next
	f.batch.Unlock()
	err := scan(func(collection string, claim []byte) { next.add(f.key(collection, claim)) })
	f.batch.Lock()
	defer f.batch.Unlock()
	if f.next != next {
		return err // forgotten in the meantime
	}
	f.next = nil
	if err != nil {
		f.retry.Store(time.Now().Add(filterRetry).UnixNano())
		return err
	}
	f.Serving.Store(next)
	return nil
}

// A bloom is a Bloom filter of 128-bit keys that are uniformly distributed already. All bits
// of a key lie in one cache line. Safe for concurrent use.
type bloom struct {
	lines    []bloomLine // a power of two of them
	capacity int64       // the number of keys it is meant for
	count    atomic.Int64
}

// A bloomLine is 512 bits.
type bloomLine [8]atomic.Uint64

// NewBloom returns an empty Bloom filter with room for capacity keys.
func NewBloom(capacity int64) *bloom {
	lines := int64(1)
	for lines*512 < capacity*filterBits {
		lines *= 2
	}
	return &bloom{lines: make([]bloomLine, lines), capacity: lines * 512 / filterBits}
}

// probe returns the i-th bit of a key in its line.
func probe(key [2]uint64, i int) (word int, bit uint64) {
	at := key[1] >> (9 * i)
	return int(at>>6) & 7, 1 << (at & 63)
}

func (b *bloom) line(key [2]uint64) *bloomLine { return &b.lines[key[0]&uint64(len(b.lines)-1)] }

func (b *bloom) has(key [2]uint64) bool {
	line := b.line(key)
	for i := range filterProbes {
		if word, bit := probe(key, i); line[word].Load()&bit == 0 {
			return false
		}
	}
	return true
}

func (b *bloom) add(key [2]uint64) {
	line, added := b.line(key), false
	for i := range filterProbes {
		word, bit := probe(key, i)
		added = line[word].Or(bit)&bit == 0 || added
	}
	if added {
		b.count.Add(1)
	}
}
