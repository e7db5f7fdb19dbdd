package changes

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// cursorEpoch and cursorInterval make cursors, which keep caches from answering with the same
// response forever: see section 10.1 of the protocol.
var cursorEpoch = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)

const cursorInterval = 20 * time.Second

// currentCursor returns the number of the current interval.
func currentCursor(now time.Time) int64 { return int64(now.Sub(cursorEpoch) / cursorInterval) }

// nextCursor returns the number of the current interval, and always more than the client's.
func nextCursor(clients int64, now time.Time) string {
	n := currentCursor(now)
	if clients >= n && clients < 1<<53 {
		n = clients + 1 + rand.Int64N(180)
	}
	return strconv.FormatInt(n, 10)
}

// news returns the changes after a position that the client wants, until the chunk is full. It
// returns a channel that is closed when there is more. The chunk's body uses the space of a buffer. The
// error is a problem.
func (f *Feed) news(ctx context.Context, q *query, after events.Position, size int, buffer []byte) (got chunk, more <-chan struct{}, err error) {
	n := f.hub.since(after)
	if n.failed != nil {
		return got, nil, Unreadable(n.failed)
	}
	if !n.held {
		// The tail is asked for after the channel was taken, so nothing falls in between.
		got, err = f.read(ctx, q, after, f.Model.Position(), size, buffer)
		return got, n.more, err
	}
	got, err = f.choose(q, n, size, buffer)
	return got, n.more, err
}

// choose returns the changes of the hub that the client wants, until the chunk is full.
func (f *Feed) choose(q *query, n news, size int, buffer []byte) (got chunk, err error) {
	got = chunk{body: append(buffer[:0], '['), next: n.upTo, upToDate: true}
	var j *journal.Journal
	for i := range n.changes {
		e := &n.changes[i]
		wanted, err := q.wants(&e.Entry)
		if err != nil {
			return got, Unreadable(err)
		}
		if !wanted {
			continue
		}
		if q.previous {
			if j == nil {
				var release func()
				if j, release, err = f.Model.Journal(); err != nil {
					return got, Unreadable(err)
				}
				defer release()
			}
			if got, err = got.add(q, j, &e.Entry); err != nil {
				return got, Unreadable(err)
			}
		} else {
			if got.changes > 0 {
				got.body = append(got.body, ',')
			}
			got.body = append(got.body, e.line...)
			got.changes++
		}
		if got.changes == q.limit || len(got.body) >= size {
			got.next, got.upToDate = e.Position, i == len(n.changes)-1 && e.Position >= n.upTo
			break
		}
	}
	got.body = append(got.body, ']')
	return got, nil
}

// poll answers as soon as there is a change, or after a while with 204.
func (f *Feed) poll(c echo.Context, q query) error {
	web.ReleaseSlot(c)
	ctx := c.Request().Context()
	f.hub.join(ctx, f.Model, f.Timing.OrDefault())
	defer f.hub.leave()
	timeout := time.NewTimer(f.Timing.OrDefault().Poll)
	defer timeout.Stop()
	h := c.Response().Header()
	for at := q.offset; ; {
		got, more, err := f.news(ctx, &q, at, maxChunk, nil)
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
