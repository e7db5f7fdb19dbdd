package tail

import (
	"context"
	"sync"
	"time"
)

// A Tail passes the records that this log has just appended to its subscriptions, which then need
// not fetch them. It works only for a broker in the same process, which reports when another client
// may have appended something. A subscription that has read the whole log follows the tail until
// something else may be in the log, or until it can't keep up. Then it fetches.
//
// All numbers are offsets. Safe for concurrent use.
type Tail struct {
	mu        sync.Mutex
	attached  bool
	changes   int64 // the number of changes by other clients
	end       int64 // the end of the log, if endKnown
	endKnown  bool  // all records up to end are on disk, and no other client has appended since
	followers map[*follower]struct{}
	// recent are the last batches without a gap, for subscriptions that are about to follow.
	recent      []Chunk
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
	offer  func(Chunk) bool // it must not block
	behind chan struct{}    // closed when the follower has to fetch
}

// New returns a tail that is not attached to a broker.
func New() *Tail { return &Tail{followers: map[*follower]struct{}{}} }

// Attach begins to trust the broker's reports.
func (t *Tail) Attach() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attached = true
}

// Detach ends that, and makes all followers fetch.
func (t *Tail) Detach() {
	t.Changed()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attached = false
}

// Changed makes all followers fetch, because another client may have changed the log.
func (t *Tail) Changed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.endKnown, t.recent, t.recentBytes = false, nil, 0
	for f := range t.followers {
		t.drop(f)
	}
}

// drop makes a follower fetch.
func (t *Tail) drop(f *follower) {
	delete(t.followers, f)
	close(f.behind)
}

// Seen returns the number of changes so far. Everything that they appended is in the answer to a
// request that is sent later.
func (t *Tail) Seen() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes
}

// Learned records the end of the log, as the broker reported it after Seen was called.
func (t *Tail) Learned(end, seen int64) {
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
func (t *Tail) last() int64 {
	if len(t.recent) == 0 {
		return 0
	}
	return t.recent[len(t.recent)-1].End()
}

// Acknowledged returns the end of the log without asking the broker, if that is possible. Every
// event whose append was acknowledged lies before it.
func (t *Tail) Acknowledged() (end int64, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end, t.attached && t.endKnown
}

// Appended passes the records of a batch on. They are on disk.
func (t *Tail) Appended(batch Chunk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.endKnown {
		t.end = max(t.end, batch.End())
	}
	t.remember(batch)
	for f := range t.followers {
		if !f.take(batch) {
			t.drop(f)
		}
	}
}

func (t *Tail) remember(batch Chunk) {
	if len(t.recent) > 0 && t.last() != batch.Start() {
		t.recent, t.recentBytes = nil, 0
	}
	t.recent = append(t.recent, batch)
	t.recentBytes += batch.Bytes
	for len(t.recent) > maxRecent || len(t.recent) > 1 && t.recentBytes > maxRecentBytes {
		t.recentBytes -= t.recent[0].Bytes
		t.recent = t.recent[1:]
	}
}

// take passes the part of a batch on that the follower lacks. It returns false if there is a gap
// before it, or no room for it.
func (f *follower) take(batch Chunk) bool {
	if batch.Start() > f.next {
		return false
	}
	if batch.End() <= f.next {
		return true
	}
	if !f.offer(batch.From(f.next)) {
		return false
	}
	f.next = batch.End()
	return true
}

// Follow passes records from the offset next on to offer, until the caller has to fetch or ctx
// ends. The caller has read the whole log in answer to a request that it sent after it had called
// Seen. Follow returns the offset after the last record that it has passed on.
func (t *Tail) Follow(ctx context.Context, next, seen int64, offer func(Chunk) bool) int64 {
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
func (t *Tail) begin(f *follower, seen int64) bool {
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

func (t *Tail) reached(f *follower) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.next
}

func (t *Tail) leave(f *follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.followers, f)
}
