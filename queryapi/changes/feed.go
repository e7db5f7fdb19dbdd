package changes

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// A Model is what the feed needs of a projection. It must be safe for concurrent use.
type Model interface {
	// Position returns the position up to which the model has applied the log.
	Position() events.Position
	// WaitFor waits until the model has reached a position.
	WaitFor(ctx context.Context, position events.Position) error
	// Journal returns the journal, and a function that the caller calls when it has read.
	Journal() (j *journal.Journal, release func(), err error)
}

// A Feed serves changes. Safe for concurrent use. Its fields must not change once it serves.
type Feed struct {
	Model Model
	// Fresh waits until the model is as fresh as the client asks for. The error is a problem.
	Fresh func(echo.Context) error
	// Reach waits until the model has reached a position. The error is a problem.
	Reach func(ctx context.Context, position events.Position) error
	// Visible returns the rule by which the caller of a request may see events: see [Rule]. all reports
	// that the caller may see every event of a collection, or of all declared ones if the name is empty.
	Visible func(c echo.Context, collection string) (rule Rule, all bool)
	// Filters returns the filters of the feed of a collection. Nil means that feeds have none.
	Filters func(collection string) Filters
	// Secured reports that answers depend on who asks, so that shared caches must not keep them.
	Secured bool
	// Timing has the durations of live reads; zero fields have defaults. Tests shorten them.
	Timing Timing

	hub hub
}

// A Rule reports whether a caller may see an event. This is the only place where the feed checks
// access: every event of every answer passes it.
type Rule func(*journal.Entry) bool

// Filters are the filters that clients may put on the feed of a collection.
type Filters struct {
	// Names are the names of their parameters, without those in [Parameters].
	Names []string
	// Parse returns the condition that a query string with parameters of these names asks for. It is
	// nil if there are no such parameters. The error is a problem.
	Parse func(url.Values) (Condition, error)
	// Definition changes with the definition of the collection, on which matches may depend.
	Definition string
}

// A Condition reports whether an event matches the filters of a client. It is only asked about events
// that the client may see. The error is one of the journal.
type Condition func(*journal.Entry) (bool, error)

// Timing has the durations of live reads.
type Timing struct {
	// Poll is how long a long poll waits. Heartbeat is the pause after which an idle stream sends
	// something. Life is how long a stream lasts before the client has to connect again.
	Poll, Heartbeat, Life time.Duration
}

// OrDefault fills in the defaults.
func (t Timing) OrDefault() Timing {
	// Proxies often drop a connection on which nothing came for ten seconds.
	if t.Poll <= 0 {
		t.Poll = 8 * time.Second
	}
	if t.Heartbeat <= 0 {
		t.Heartbeat = 5 * time.Second
	}
	if t.Life <= 0 {
		t.Life = time.Minute
	}
	return t
}

// The header fields of the protocol.
const (
	HeaderNextOffset = "Stream-Next-Offset"
	HeaderUpToDate   = "Stream-Up-To-Date"
	HeaderCursor     = "Stream-Cursor"
)

// FormatOffset returns the offset at a position. Offsets have the same length, so that they sort as
// texts.
func FormatOffset(p events.Position) string {
	text := strconv.FormatInt(int64(p), 10)
	const zeros = "0000000000000000"
	if len(text) >= len(zeros) {
		return text
	}
	return zeros[len(text):] + text
}

// Serve handles GET and HEAD of the feed of a collection, or of all if the name is empty.
func (f *Feed) Serve(c echo.Context, collection string) error {
	q, err := f.parse(c.Request(), collection)
	if err != nil {
		return err
	}
	if err := f.Fresh(c); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if err := f.Reach(ctx, q.offset); err != nil {
		return err
	}
	q.visible, q.seesAll = f.Visible(c, collection)
	tail := f.Model.Position()
	contract.SetPosition(c.Response().Header(), int64(tail))
	if q.now {
		q.offset = tail
	}
	switch {
	case c.Request().Method == http.MethodHead:
		return f.head(c, tail)
	case q.live == liveSSE:
		return f.stream(c, q)
	case q.live == livePoll:
		return f.poll(c, q)
	}
	return f.catchUp(c, q, tail)
}

// head answers HEAD, which asks for the tail.
func (f *Feed) head(c echo.Context, tail events.Position) error {
	h := c.Response().Header()
	h.Set("Content-Type", contract.JSON)
	h.Set("Cache-Control", "no-store")
	h.Set(HeaderNextOffset, FormatOffset(tail))
	return c.NoContent(http.StatusOK)
}

// catchUp answers with what there is. An answer that ends before the tail never changes.
func (f *Feed) catchUp(c echo.Context, q query, tail events.Position) error {
	h := c.Response().Header()
	if f.Secured {
		web.AddVary(h, "Authorization")
	}
	if q.now {
		h.Set("Cache-Control", "no-store")
		return f.answer(c, chunk{body: []byte("[]"), next: tail, upToDate: true})
	}
	got, err := f.read(c.Request().Context(), &q, q.offset, tail, maxChunk, make([]byte, 0, 4<<10))
	if err != nil {
		return err
	}
	etag := `"` + FormatOffset(q.offset) + "-" + FormatOffset(got.next) + q.variant() + `"`
	h.Set("ETag", etag)
	h.Set("Cache-Control", "no-cache")
	if !got.upToDate && q.matches == nil {
		h.Set("Cache-Control", f.immutable())
	}
	has, err := contract.NoneMatch(c.Request(), etag)
	if err != nil {
		return err
	}
	if has {
		got.describe(h)
		return web.NotModified(c, len(got.body))
	}
	return f.answer(c, got)
}

// immutable is the Cache-Control of an answer that never changes. If callers have credentials, what
// they may see may change, so only their own caches keep it, for a minute.
func (f *Feed) immutable() string {
	if f.Secured {
		return "private, max-age=60"
	}
	return "public, max-age=31536000, immutable"
}

func (f *Feed) answer(c echo.Context, got chunk) error {
	if err := web.ReserveMemory(c, len(got.body)); err != nil {
		return err
	}
	got.describe(c.Response().Header())
	return web.Answer(c, http.StatusOK, contract.JSON, got.body)
}

// A chunk is a part of the feed.
type chunk struct {
	body     []byte // a JSON array
	changes  int
	next     events.Position
	upToDate bool
}

func (got chunk) describe(h http.Header) {
	h.Set(HeaderNextOffset, FormatOffset(got.next))
	if got.upToDate {
		h.Set(HeaderUpToDate, "true")
	}
}

const (
	// maxChunk and maxLive are the sizes in bytes from which a chunk is full: of an answer, and of
	// one event of a stream.
	maxChunk = 1 << 20
	maxLive  = 16 << 10
	// maxScan is the number of positions that one answer searches for events that match. It then
	// ends, so that the client learns how far the search has come.
	maxScan = 50_000
)

// errFull ends the reading of a chunk.
var errFull = errors.New("the chunk is full")

// read reads what comes after a position, up to the tail, until the chunk is full. Where a full
// chunk ends depends on the events alone. The chunk's body uses the space of a buffer. The error is a
// problem.
func (f *Feed) read(ctx context.Context, q *query, after, tail events.Position, size int, buffer []byte) (got chunk, err error) {
	j, release, err := f.Model.Journal()
	if err != nil {
		return got, Unreadable(err)
	}
	defer release()
	until := min(tail, after+maxScan)
	got = chunk{body: append(buffer[:0], '['), next: until}
	_, err = j.Each(ctx, after, until, func(e *journal.Entry) error {
		wanted, err := q.wants(e)
		if !wanted || err != nil {
			return err
		}
		if got, err = got.add(q, j, e); err != nil {
			return err
		}
		if got.changes == q.limit || len(got.body) >= size {
			got.next = e.Position
			return errFull
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return got, Unreadable(err)
	}
	got.body = append(got.body, ']')
	got.upToDate = got.next >= tail
	return got, nil
}

// add adds a change to the array.
func (got chunk) add(q *query, j *journal.Journal, e *journal.Entry) (chunk, error) {
	if got.changes > 0 {
		got.body = append(got.body, ',')
	}
	var previous []byte
	if q.previous {
		var err error
		if previous, err = previousOf(j, e.Previous, q.visible); err != nil {
			return got, err
		}
	}
	got.body = appendChange(got.body, e, q.previous, previous)
	got.changes++
	return got, nil
}

// Unreadable turns an error of the journal into a problem for which Nginx tries another node.
func Unreadable(err error) error {
	var damaged *journal.DamagedError
	const elsewhere = " Retry: another node may serve the read."
	switch {
	case errors.Is(err, projections.ErrNoJournal):
		return problem.NotReady.Because(err, "This node keeps no journal of events."+elsewhere)
	case errors.Is(err, journal.ErrNotHeld):
		return problem.NotReady.Because(err, "This node does not hold the events from there on yet."+elsewhere)
	case errors.As(err, &damaged), errors.Is(err, journal.ErrClosed):
		return problem.NotReady.Because(err, "This node can't read its journal of events."+elsewhere)
	case errors.Is(err, context.Canceled):
		return problem.NotReady.Because(err, "The client cancelled the request.")
	}
	return err
}
