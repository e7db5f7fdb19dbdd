package changes

import (
	"bytes"
	"context"
	"sort"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

const (
	// keptChanges and keptBytes bound the newest changes in memory.
	keptChanges = 4096
	keptBytes   = 4 << 20
	// wakeEvery is the minimum pause between two times that the clients are woken.
	// With many clients the pause grows, up to maxPause: each client costs a write to its connection
	// whenever it is woken, whether for one change or for twenty.
	wakeEvery = 10 * time.Millisecond
	perClient = 20 * time.Microsecond
	maxPause  = 25 * time.Millisecond
	// keptPieces is the maximum number of pieces that clients share at a time.
	keptPieces = 64
)

// A recent is a change in memory, rendered without its previous document.
type recent struct {
	journal.Entry
	line []byte
}

// A hub reads the newest changes once for all clients that follow the feed. It runs while there are
// any.
type hub struct {
	mu      sync.Mutex
	clients int
	stop    context.CancelFunc
	start   events.Position // the hub has the changes after start, up to end
	end     events.Position
	changes []recent // never changed in place, because readers share it
	bytes   int
	failed  error
	wake    chan struct{} // closed when something is new, and with each beat
	pieces  map[pieceKey]func() (piece, error)
}

// A pieceKey identifies a piece that clients share: those that ask for the same and are at the same
// position, while the hub has the changes up to the same end.
type pieceKey struct {
	collection, types string
	limit             int
	after, end        events.Position
}

// piece returns the piece of a key. The first client that asks for it renders it. If that fails, the
// next client tries again.
func (h *hub) piece(key pieceKey, render func() (piece, error)) (piece, error) {
	h.mu.Lock()
	shared, ok := h.pieces[key]
	if !ok {
		shared = render
		if key.end == h.end && len(h.pieces) < keptPieces {
			shared = sync.OnceValues(func() (p piece, err error) {
				if p, err = render(); err != nil {
					h.forget(key)
				}
				return p, err
			})
			h.pieces[key] = shared
		}
	}
	h.mu.Unlock()
	return shared()
}

func (h *hub) forget(key pieceKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pieces, key)
}

// join adds a client of a server. It must leave.
func (h *hub) join(ctx context.Context, m Model, timing Timing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	if h.clients > 1 && h.failed == nil {
		return
	}
	if h.stop != nil {
		h.stop()
	}
	draining := web.Draining(ctx)
	ctx, h.stop = context.WithCancel(context.Background()) // the hub outlives the client
	h.start = m.Position()
	h.end, h.changes, h.bytes, h.failed, h.wake = h.start, nil, 0, nil, make(chan struct{})
	h.pieces = map[pieceKey]func() (piece, error){}
	go h.run(ctx, m, h.start)
	go web.Beat(ctx, min(timing.Heartbeat, timing.Life), draining, func() { h.beat(ctx) })
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients--; h.clients == 0 {
		h.stop()
		h.stop, h.changes, h.pieces = nil, nil, nil
	}
}

// news is what a hub has for a client.
type news struct {
	changes []recent
	upTo    events.Position // the changes are complete up to here
	end     events.Position // the end of what the hub has
	more    <-chan struct{} // closed when there is more, and with each beat
	held    bool            // false if the client is at a position before what the hub has
	failed  error           // why the hub has ended
}

// since returns the changes after a position.
func (h *hub) since(after events.Position) news {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after < h.start {
		return news{upTo: h.start, end: h.end, more: h.wake, failed: h.failed}
	}
	i := sort.Search(len(h.changes), func(i int) bool { return h.changes[i].Position > after })
	return news{h.changes[i:], max(h.end, after), h.end, h.wake, true, h.failed}
}

// beat wakes the clients of a run, unless another run has started.
func (h *hub) beat(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() == nil {
		h.wakeAll()
	}
}

// wakeAll wakes all clients. The caller holds the lock.
func (h *hub) wakeAll() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// pause returns the pause until the clients are woken again.
func (h *hub) pause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(max(wakeEvery, time.Duration(h.clients)*perClient), maxPause)
}

// run reads the journal as it grows.
func (h *hub) run(ctx context.Context, m Model, at events.Position) {
	for {
		err := m.WaitFor(ctx, at+1)
		var news []recent
		if err == nil {
			news, at, err = readNews(ctx, m, at)
		}
		if ctx.Err() != nil {
			return
		}
		h.add(ctx, news, at, err)
		if err != nil {
			return
		}
		select {
		case <-time.After(h.pause()):
		case <-ctx.Done():
			return
		}
	}
}

func readNews(ctx context.Context, m Model, after events.Position) (news []recent, reached events.Position, err error) {
	tail := m.Position()
	j, release, err := m.Journal()
	if err != nil {
		return nil, after, err
	}
	defer release()
	reached, err = j.Each(ctx, after, tail, func(e *journal.Entry) error {
		n := recent{Entry: *e, line: appendChange(nil, e, false, nil)}
		n.Event.Document = bytes.Clone(e.Event.Document)
		news = append(news, n)
		return nil
	})
	return news, reached, err
}

func (h *hub) add(ctx context.Context, news []recent, end events.Position, failed error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return // another run has started
	}
	h.changes = append(h.changes, news...)
	for _, n := range news {
		h.bytes += len(n.line) + len(n.Event.Document)
	}
	h.end, h.failed = max(h.end, end), failed
	h.trim()
	clear(h.pieces)
	h.wakeAll()
}

// trim removes the oldest changes if there are too many, down to half, so that it copies rarely.
func (h *hub) trim() {
	if len(h.changes) <= keptChanges && h.bytes <= keptBytes {
		return
	}
	drop := 0
	for left := h.bytes; drop < len(h.changes) && (len(h.changes)-drop > keptChanges/2 || left > keptBytes/2); drop++ {
		left -= len(h.changes[drop].line) + len(h.changes[drop].Event.Document)
		h.bytes = left
	}
	h.start = h.changes[drop-1].Position
	h.changes = append([]recent(nil), h.changes[drop:]...)
}
