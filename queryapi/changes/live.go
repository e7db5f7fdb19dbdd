package changes

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// pieceTimeout is how long a client may take to receive one piece. A client that takes longer is
// dropped. It has the offset of the last piece, and goes on from there.
const pieceTimeout = 20 * time.Second

// cursorEpoch and cursorInterval make cursors, which keep caches from answering with the same
// response forever: see section 10.1 of the protocol.
var cursorEpoch = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)

const cursorInterval = 20 * time.Second

// nextCursor returns the number of the current interval, and always more than the client's.
func nextCursor(clients int64, now time.Time) string {
	n := int64(now.Sub(cursorEpoch) / cursorInterval)
	if clients >= n && clients < 1<<53 {
		n = clients + 1 + rand.Int64N(180)
	}
	return strconv.FormatInt(n, 10)
}

// news returns the changes after a position that the client wants, until the chunk is full. It
// returns a channel that is closed when there is more. The chunk's body uses the space of a buffer. The
// error is a problem.
func (f *Feed) news(c echo.Context, q query, after events.Position, size int, buffer []byte) (got chunk, more <-chan struct{}, err error) {
	changes, upTo, more, held, failed := f.hub.since(after)
	if failed != nil {
		return got, nil, Unreadable(failed)
	}
	if !held {
		// The tail is asked for after the channel was taken, so nothing falls in between.
		got, err = f.read(c.Request().Context(), q, after, f.Model.Position(), size, buffer)
		return got, more, err
	}
	got = chunk{body: append(buffer[:0], '['), next: upTo, upToDate: true}
	var j *journal.Journal
	for i := range changes {
		e := &changes[i]
		wanted, err := q.wants(&e.Entry)
		if err != nil {
			return got, nil, Unreadable(err)
		}
		if !wanted {
			continue
		}
		if q.previous {
			if j == nil {
				var release func()
				if j, release, err = f.Model.Journal(); err != nil {
					return got, nil, Unreadable(err)
				}
				defer release()
			}
			if got, err = got.add(q, j, &e.Entry); err != nil {
				return got, nil, Unreadable(err)
			}
		} else {
			if got.changes > 0 {
				got.body = append(got.body, ',')
			}
			got.body = append(got.body, e.line...)
			got.changes++
		}
		if got.changes == q.limit || len(got.body) >= size {
			got.next, got.upToDate = e.Position, i == len(changes)-1 && e.Position >= upTo
			break
		}
	}
	got.body = append(got.body, ']')
	return got, more, nil
}

// poll answers as soon as there is a change, or after a while with 204.
func (f *Feed) poll(c echo.Context, q query) error {
	web.LeavePlace(c)
	ctx := c.Request().Context()
	f.hub.join(f.Model)
	defer f.hub.leave()
	timeout := time.NewTimer(f.Timing.orDefault().Poll)
	defer timeout.Stop()
	h := c.Response().Header()
	for at := q.offset; ; {
		got, more, err := f.news(c, q, at, maxChunk, nil)
		if err != nil {
			return err
		}
		if got.changes > 0 {
			got.upToDate = got.upToDate || got.next >= f.Model.Position()
			h.Set("Cache-Control", "no-store")
			h.Set(HeaderCursor, nextCursor(q.cursor, time.Now()))
			return f.answer(c, got)
		}
		at = got.next
		if !got.upToDate {
			continue
		}
		select {
		case <-more:
			continue
		case <-ctx.Done():
			return problem.NotReady.Because(ctx.Err(), "The client cancelled the request.")
		case <-web.Draining(ctx):
		case <-timeout.C:
		}
		got.describe(h)
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Type", contract.JSON)
		h.Set(HeaderCursor, nextCursor(q.cursor, time.Now()))
		return c.NoContent(http.StatusNoContent)
	}
}

// stream sends changes as server-sent events, until the client disconnects, reads too slowly, has
// been connected for a while, or the server stops. The client then connects again.
func (f *Feed) stream(c echo.Context, q query) error {
	ctx, timing := c.Request().Context(), f.Timing.orDefault()
	f.hub.join(f.Model)
	defer f.hub.leave()
	// Errors before the first piece are answered as such.
	b := buffersPool.Get().(*buffers)
	got, more, err := f.news(c, q, q.offset, maxLive, b.body)
	if err != nil {
		return err
	}
	w := c.Response()
	h := w.Header()
	h.Set("Content-Type", EventStream)
	h.Set("Cache-Control", "no-cache, no-store") // no-cache is what proxies know streams by
	h.Set("X-Accel-Buffering", "no")             // for Nginx
	w.WriteHeader(http.StatusOK)
	out := stream.NewWriter(w, pieceTimeout)
	defer out.End()
	life := time.NewTimer(timing.Life + rand.N(timing.Life/4)) // so that clients do not all come at once
	defer life.Stop()
	heartbeat := time.NewTicker(timing.Heartbeat)
	defer heartbeat.Stop()
	b.piece = append(b.piece[:0], "retry: 250\n\n"...)
	sent := events.Position(-1) // the offset that the client has
	for {
		if got.changes > 0 || got.upToDate && sent < 0 {
			b.piece, sent = f.appendEvents(b.piece, q, got), got.next
		}
		if len(b.piece) > 0 && out.Send(b.piece) != nil {
			return nil // it disconnected, or reads too slowly
		}
		b.body = got.body
		b.release() // a client that waits needs none
		at, idle := got.next, got.upToDate
		for idle {
			select {
			case <-more:
				idle = false
				continue
			case <-heartbeat.C:
				piece := []byte(":\n\n")
				if at != sent { // progress past changes that the client does not want
					piece, sent = f.appendEvents(piece[:0], q, chunk{next: at, upToDate: true}), at
				}
				if out.Send(piece) != nil {
					return nil
				}
				continue
			case <-life.C:
			case <-web.Draining(ctx):
			case <-ctx.Done():
			}
			return nil
		}
		select {
		case <-life.C:
			return nil
		case <-web.Draining(ctx):
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		b = buffersPool.Get().(*buffers)
		b.piece = b.piece[:0]
		if got, more, err = f.news(c, q, at, maxLive, b.body); err != nil {
			return nil // the client connects again, perhaps to another node, and gets the problem
		}
	}
}

// buffers are the space in which a piece of a stream is built. Streams share them.
type buffers struct{ body, piece []byte }

var buffersPool = sync.Pool{New: func() any { return new(buffers) }}

func (b *buffers) release() {
	if cap(b.body)+cap(b.piece) <= 8*maxLive { // larger ones are rare
		buffersPool.Put(b)
	}
}

// appendEvents appends the events of a chunk: its changes, if any, and the offset.
func (f *Feed) appendEvents(b []byte, q query, got chunk) []byte {
	offset := FormatOffset(got.next)
	if got.changes > 0 {
		b = append(append(b, "event: data\ndata:"...), got.body...) // which has no line breaks
		b = append(append(append(b, "\nid: "...), offset...), "\n\n"...)
	}
	b = append(append(b, "event: control\ndata:{\"streamNextOffset\":\""...), offset...)
	b = append(append(b, `","streamCursor":"`...), nextCursor(q.cursor, time.Now())...)
	b = append(b, '"')
	if got.upToDate {
		b = append(b, `,"upToDate":true`...)
	}
	return append(append(append(b, "}\nid: "...), offset...), "\n\n"...)
}
