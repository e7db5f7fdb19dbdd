package eventlog

import (
	"context"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// A tail passes the records that this log has just appended to its subscriptions, which then need
// not fetch them. It works only for a broker in the same process, which reports when another client
// may have appended something (see [Source]). A subscription that has read the whole log follows
// the tail until something else may be in the log, or until it can't keep up. Then it fetches.
//
// All numbers are offsets. Safe for concurrent use.
type tail struct {
	mu        sync.Mutex
	attached  bool
	changes   int64 // the number of changes by other clients
	end       int64 // the end of the log, if endKnown
	endKnown  bool  // all records up to end are on disk, and no other client has appended since
	followers map[*follower]struct{}
	// recent are the last batches without a gap, for subscriptions that are about to follow.
	recent      []chunk
	recentBytes int64
}

const (
	// maxRecent and maxRecentBytes limit the recent batches.
	maxRecent      = 16
	maxRecentBytes = 1 << 20
	// maxQuiet is the time without records after which a follower asks the broker whether a
	// record was appended without a request, as the end of a transaction that timed out is.
	maxQuiet = time.Second
)

// A follower is a subscription that follows the tail.
type follower struct {
	next   int64
	offer  func(chunk) bool // it must not block
	behind chan struct{}    // closed when the follower has to fetch
}

func newTail() *tail { return &tail{followers: map[*follower]struct{}{}} }

func (t *tail) attach() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attached = true
}

func (t *tail) detach() {
	t.changed()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attached = false
}

// changed makes all followers fetch, because another client may have changed the log.
func (t *tail) changed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.endKnown, t.recent, t.recentBytes = false, nil, 0
	for f := range t.followers {
		t.drop(f)
	}
}

// drop makes a follower fetch.
func (t *tail) drop(f *follower) {
	delete(t.followers, f)
	close(f.behind)
}

// seen returns the number of changes so far. Everything that they appended is in the answer to a
// request that is sent later.
func (t *tail) seen() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes
}

// learned records the end of the log, as the broker reported it after seen was called.
func (t *tail) learned(end, seen int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.attached || seen != t.changes {
		return
	}
	if !t.endKnown || end > t.end {
		t.end, t.endKnown = max(end, t.last()), true
	}
	for f := range t.followers {
		if f.next < end {
			t.drop(f)
		}
	}
}

// last returns the end of the recent batches.
func (t *tail) last() int64 {
	if len(t.recent) == 0 {
		return 0
	}
	return t.recent[len(t.recent)-1].end()
}

// acknowledged returns the end of the log without asking the broker, if that is possible. Every
// event whose append was acknowledged lies before it.
func (t *tail) acknowledged() (end int64, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end, t.attached && t.endKnown
}

// appended passes the records of a batch on. They are on disk.
func (t *tail) appended(base int64, at time.Time, group []*publication) {
	batch := newChunk(base, at, group)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.endKnown {
		t.end = max(t.end, batch.end())
	}
	t.remember(batch)
	for f := range t.followers {
		if !f.take(batch) {
			t.drop(f)
		}
	}
}

func (t *tail) remember(batch chunk) {
	if len(t.recent) > 0 && t.last() != batch.start() {
		t.recent, t.recentBytes = nil, 0
	}
	t.recent = append(t.recent, batch)
	t.recentBytes += batch.bytes
	for len(t.recent) > maxRecent || len(t.recent) > 1 && t.recentBytes > maxRecentBytes {
		t.recentBytes -= t.recent[0].bytes
		t.recent = t.recent[1:]
	}
}

// take passes the part of a batch on that the follower lacks. It returns false if there is a gap
// before it, or no room for it.
func (f *follower) take(batch chunk) bool {
	if batch.start() > f.next {
		return false
	}
	if batch.end() <= f.next {
		return true
	}
	if !f.offer(batch.from(f.next)) {
		return false
	}
	f.next = batch.end()
	return true
}

// follow passes records from the offset next on to offer, until the caller has to fetch or ctx
// ends. The caller has read the whole log in answer to a request that it sent after it had called
// seen. follow returns the offset after the last record that it has passed on.
func (t *tail) follow(ctx context.Context, next, seen int64, offer func(chunk) bool) int64 {
	f := &follower{next: next, offer: offer, behind: make(chan struct{})}
	if !t.begin(f, seen) {
		return f.next
	}
	quiet := time.NewTicker(maxQuiet)
	defer quiet.Stop()
	for at := next; ; {
		select {
		case <-f.behind:
			return f.next
		case <-ctx.Done():
			t.leave(f)
			return f.next
		case <-quiet.C:
			now := t.reached(f)
			if now == at {
				t.leave(f)
				return f.next
			}
			at = now
		}
	}
}

// begin lets a follower follow, if the recent batches close the gap to what it has read.
func (t *tail) begin(f *follower, seen int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.attached || seen != t.changes {
		return false
	}
	for _, batch := range t.recent {
		if !f.take(batch) {
			return false
		}
	}
	t.followers[f] = struct{}{}
	return true
}

func (t *tail) reached(f *follower) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.next
}

func (t *tail) leave(f *follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.followers, f)
}

// newChunk parses the records of a group.
func newChunk(base int64, at time.Time, group []*publication) chunk {
	n := 0
	for _, s := range group {
		n += len(s.records)
	}
	c := chunk{records: make([]events.Record, 0, n)}
	for _, s := range group {
		for _, r := range s.records {
			r.Offset, r.Timestamp = base, at
			c.add(newFetched(r).record())
			base++
		}
	}
	return c
}
