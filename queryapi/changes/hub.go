package changes

import (
	"bytes"
	"context"
	"sort"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
)

const (
	// keptChanges and keptBytes bound the newest changes in memory.
	keptChanges = 4096
	keptBytes   = 4 << 20
	// wakeEvery is the minimum pause between two times that the clients are woken.
	wakeEvery = 10 * time.Millisecond
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
	wake    chan struct{} // closed when something is new
}

// join adds a client. It must leave.
func (h *hub) join(m Model) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	if h.clients > 1 && h.failed == nil {
		return
	}
	if h.stop != nil {
		h.stop()
	}
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	h.start = m.Position()
	h.end, h.changes, h.bytes, h.failed, h.wake = h.start, nil, 0, nil, make(chan struct{})
	go h.run(ctx, m, h.start)
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients--; h.clients == 0 {
		h.stop()
		h.stop, h.changes = nil, nil
	}
}

// since returns the changes after a position, the position up to which they are complete, and a
// channel that is closed when there is more. held is false if the position is before what the hub
// has. failed is why the hub has ended.
func (h *hub) since(after events.Position) (changes []recent, upTo events.Position, more <-chan struct{}, held bool, failed error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after < h.start {
		return nil, h.start, h.wake, false, h.failed
	}
	i := sort.Search(len(h.changes), func(i int) bool { return h.changes[i].Position > after })
	return h.changes[i:], max(h.end, after), h.wake, true, h.failed
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
		case <-time.After(wakeEvery):
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
		return // another run has begun
	}
	h.changes = append(h.changes, news...)
	for _, n := range news {
		h.bytes += len(n.line) + len(n.Event.Document)
	}
	h.end, h.failed = max(h.end, end), failed
	h.trim()
	close(h.wake)
	h.wake = make(chan struct{})
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
