package changes

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// pieceTimeout is how long a client may take to receive one piece. A client that takes longer is
// dropped. It has the offset of the last piece, and goes on from there.
const pieceTimeout = 20 * time.Second

// stream sends changes as server-sent events, until the client disconnects, reads too slowly, has
// been connected for a while, or the server stops. The client then connects again.
func (f *Feed) stream(c echo.Context, q query) error {
	ctx, timing := c.Request().Context(), f.Timing.OrDefault()
	f.hub.join(ctx, f.Model, timing)
	s := &subscription{feed: f, timing: timing, query: q, at: q.offset, sent: -1}
	// Errors before the first piece are answered as such.
	first, err := s.next(ctx)
	if err != nil {
		f.hub.leave()
		return err
	}
	contract.BeginEventStream(c.Response().Header())
	return web.SendLive(c, pieceTimeout, func(ctx context.Context, out *web.Live) {
		defer f.hub.leave()
		s.out, s.until = out, time.Now().Add(timing.Life+rand.N(timing.Life/4)) // so that clients do not all come at once
		s.run(ctx, first)
	})
}

// A subscription is a client that receives server-sent events. It costs a goroutine with a small stack,
// which waits for the hub and for nothing else, and no buffer while it waits.
type subscription struct {
	feed   *Feed
	timing Timing
	query  query
	out    *web.Live
	until  time.Time       // when the client has to connect again
	at     events.Position // up to which the client has what it wants
	sent   events.Position // the offset that the client has been sent
	last   time.Time       // when something was sent
	more   <-chan struct{} // closed when there is something new, and with each beat of the hub
}

func (s *subscription) run(ctx context.Context, p piece) {
	if s.out.Send(stream.Retry) != nil {
		return
	}
	draining := web.Draining(ctx)
	for {
		if s.send(p) != nil {
			return // it disconnected, or reads too slowly
		}
		if p.upToDate {
			p = piece{} // a client that waits holds none
			select {
			case <-s.more:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-draining:
			return
		default:
		}
		if ctx.Err() != nil || !time.Now().Before(s.until) {
			return
		}
		var err error
		if p, err = s.next(ctx); err != nil {
			return // the client connects again, perhaps to another node, and gets the problem
		}
	}
}

// send sends a piece, if there is anything to say.
func (s *subscription) send(p piece) error {
	s.at = p.next
	now := time.Now()
	idle := now.Sub(s.last) > s.timing.Heartbeat/2
	switch {
	case p.Len() > 0:
		s.sent = p.next
	case !p.upToDate:
		return nil // there is more to search
	case s.sent < 0, idle && s.at != s.sent: // progress past changes that the client does not want
		p.Piece, s.sent = newPiece(s.query.cursor, chunk{next: p.next, upToDate: true}), p.next
	case idle:
		p.Piece = stream.Heartbeat
	default:
		return nil
	}
	s.last = now
	return s.out.Send(p.Piece)
}

// A piece is a chunk of the feed as streams send it. It has no content if the chunk has no changes.
type piece struct {
	stream.Piece
	next     events.Position
	upToDate bool
}

// next returns the next piece of the stream. The error is a problem.
func (s *subscription) next(ctx context.Context) (p piece, err error) {
	f, q := s.feed, &s.query
	n := f.hub.since(s.at)
	s.more = n.more
	var read func(buffer []byte) (chunk, error)
	switch {
	case n.failed != nil:
		return p, Unreadable(n.failed)
	case !n.held:
		// The tail is asked for after the channel was taken, so nothing falls in between.
		read = func(buffer []byte) (chunk, error) { return f.read(ctx, q, s.at, f.Model.Position(), maxLive, buffer) }
	case len(n.changes) == 0:
		return piece{next: n.upTo, upToDate: true}, nil
	default:
		read = func(buffer []byte) (chunk, error) { return f.choose(q, n, maxLive, buffer) }
	}
	if !q.shares() {
		return render(q, read)
	}
	// Others wait for the piece too, so it does not end with this client.
	ctx = context.WithoutCancel(ctx)
	return f.hub.piece(pieceKey{q.collection, strings.Join(q.types, ","), q.limit, s.at, n.end}, func() (piece, error) { return render(q, read) })
}

// shares reports whether all clients with the same collection, types and limit get the same pieces.
// Their cursors must be older than any that a piece may have.
func (q *query) shares() bool {
	return q.seesAll && q.matches == nil && len(q.ids) == 0 && !q.previous && (q.cursor == 0 || q.cursor < currentCursor(time.Now())-1)
}

// render returns the piece of a chunk. It reads the chunk into a buffer that streams share.
func render(q *query, read func(buffer []byte) (chunk, error)) (p piece, err error) {
	b := buffers.Get().(*[]byte)
	got, err := read(*b)
	if err != nil {
		return p, err
	}
	p = piece{next: got.next, upToDate: got.upToDate}
	if got.changes > 0 {
		p.Piece = newPiece(q.cursor, got)
	}
	if *b = got.body; cap(*b) <= 8*maxLive { // larger ones are rare
		buffers.Put(b)
	}
	return p, nil
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// newPiece returns the piece of a chunk.
func newPiece(cursor int64, got chunk) stream.Piece {
	const around = 256 // bytes besides the changes
	return stream.NewPiece(make([]byte, 0, len(got.body)+around), func(b []byte) []byte { return appendEvents(b, cursor, got) })
}

// appendEvents appends the events of a chunk: its changes, if any, and the offset.
func appendEvents(b []byte, cursor int64, got chunk) []byte {
	offset := FormatOffset(got.next)
	if got.changes > 0 {
		b = append(append(b, "event: data\ndata:"...), got.body...) // which has no line breaks
		b = append(append(append(b, "\nid: "...), offset...), "\n\n"...)
	}
	b = append(append(b, "event: control\ndata:{\"streamNextOffset\":\""...), offset...)
	b = append(append(b, `","streamCursor":"`...), nextCursor(cursor, time.Now())...)
	b = append(b, '"')
	if got.upToDate {
		b = append(b, `,"upToDate":true`...)
	}
	return append(append(append(b, "}\nid: "...), offset...), "\n\n"...)
}
