package queryapi

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

const (
	// maxPastLists is how many lists of the past a node reads at a time, and pastListTime how long
	// each may take. The proxy waits for a response for ten seconds.
	maxPastLists = 2
	pastListTime = 8 * time.Second
	// firstWindow and maxWindow are numbers of entities: see [pastList.window].
	firstWindow = 1 << 10
	maxWindow   = 64 << 10
	// windowBytes is the memory that one entity in a window takes, at most twice as many being held.
	windowBytes = 2 * 200
)

// asksForPast reports whether a request for a list asks for an earlier moment.
func asksForPast(c echo.Context) bool {
	return strings.Contains(c.Request().URL.RawQuery, listing.At+"=") && c.QueryParams().Has(listing.At)
}

// listAt handles GET and HEAD of a collection as it was at a position or time, in the order of ids.
// The caller may read at least a part of the collection.
func (a *API) listAt(c echo.Context, collection *collections.Collection) error {
	if _, err := negotiation.Accepts(c.Request(), contract.JSON); err != nil {
		return err
	}
	words := a.vocabulary(collection)
	if c.QueryParams().Has("count") {
		return problem.MalformedRequest.New("count is not available with at.")
	}
	if err := contract.RefuseUnknownParameters(c.Request(), words.PastParameters()...); err != nil {
		return err
	}
	asked, err := words.ParsePast(c.QueryParams())
	if err != nil {
		return err
	}
	if err := a.makeFresh(c); err != nil {
		return err
	}
	if a.pastLists.Add(1) > maxPastLists {
		a.pastLists.Add(-1)
		return problem.Overloaded.New("The node is reading the maximum number of lists of the past. Retry later.")
	}
	defer a.pastLists.Add(-1)
	j, release, err := a.Model.Journal()
	if err != nil {
		return changes.Unreadable(err)
	}
	defer release()
	at, err := a.pastPosition(c.Request().Context(), j, asked)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), pastListTime)
	defer cancel()
	l := pastList{
		c: c, journal: j, collection: collection.Name(), at: at, asked: asked, viewer: a.viewer(c),
		selection: a.selection(collection, asked.Filters), body: []byte{'['}, room: initialPageMemory,
		size: cmp.Or(a.PastWindow, max(firstWindow, asked.Limit+1)),
	}
	p, err := l.read(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && c.Request().Context().Err() == nil:
		return problem.Overloaded.Because(err, "It takes too long to read this list from the journal. Replay the log into a file to read it there.")
	case err != nil:
		return changes.Unreadable(err)
	}
	return p.answer(c, at)
}

// pastPosition returns the position of a list. The pages after the first are of the same position as
// the first. The error is a problem.
func (a *API) pastPosition(ctx context.Context, j *journal.Journal, asked listing.Past) (events.Position, error) {
	if asked.After == nil {
		return a.moment(ctx, j, asked.At)
	}
	if n, err := strconv.ParseInt(asked.At, 10, 64); err != nil || events.Position(n) != asked.After.At {
		return 0, problem.MalformedRequest.New("With after, at must be the position that the Link field has.")
	}
	return a.moment(ctx, j, asked.At)
}

// A pastList is a page of a list of the past that is being read.
type pastList struct {
	c          echo.Context
	journal    *journal.Journal
	collection string
	at         events.Position
	asked      listing.Past
	viewer     *viewer
	selection  *selection
	size       int // of the first window

	body       []byte
	room       int // the memory that was taken
	given      int
	last, next string // the ids of the last entity on the page, and of the one after it
}

// read reads the page. The journal is in the order of time and the page in that of ids, so each pass
// over the journal takes those entities of a window whose ids are the smallest after the last one.
func (l *pastList) read(ctx context.Context) (*page, error) {
	if err := web.TakeMemory(l.c, initialPageMemory); err != nil {
		return nil, err
	}
	after := ""
	if l.asked.After != nil {
		after = l.asked.After.ID
	}
	for size, taken := l.size, 0; ; size = max(size, min(8*size, maxWindow)) {
		if err := web.TakeMoreMemory(l.c, (size-taken)*windowBytes); err != nil {
			return nil, err
		}
		taken = size
		window, complete, err := l.window(ctx, after, size)
		if err != nil {
			return nil, err
		}
		for _, v := range window {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := l.add(v); err != nil {
				return nil, err
			}
			if after = v.id; l.next != "" {
				return l.page(), nil
			}
		}
		if complete {
			return l.page(), nil
		}
	}
}

// A pastVersion is the newest event of an entity in a window.
type pastVersion struct {
	id      string
	at      events.Position
	created time.Time
	deleted bool
}

// window returns the entities with the smallest ids after one, in the order of ids, also deleted
// ones. complete reports that there are no more.
func (l *pastList) window(ctx context.Context, after string, size int) (window []*pastVersion, complete bool, err error) {
	held := make(map[string]*pastVersion)
	ceiling := "" // if it is not empty, entities from this id on are for a later pass
	_, err = l.journal.Each(ctx, 0, l.at, func(e *journal.Entry) error {
		id := e.Event.EntityID
		if e.Event.Collection != l.collection || id <= after || ceiling != "" && id >= ceiling {
			return nil
		}
		v := held[id]
		if v == nil {
			if len(held) == 2*size {
				// An entity that is dropped stays out, so what is held has all its events.
				ceiling = shrink(held, size)
				if id >= ceiling {
					return nil
				}
			}
			v = &pastVersion{id: id, created: e.Event.Time}
			held[id] = v
		}
		v.at, v.deleted = e.Position, e.Event.Kind == events.Deleted
		return nil
	})
	for _, v := range held {
		window = append(window, v)
	}
	slices.SortFunc(window, func(a, b *pastVersion) int { return cmp.Compare(a.id, b.id) })
	return window, ceiling == "", err
}

// shrink removes all but the entities with the smallest ids, and returns the smallest id that it
// removed.
func shrink(held map[string]*pastVersion, size int) (ceiling string) {
	ids := make([]string, 0, len(held))
	for id := range held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids[size:] {
		delete(held, id)
	}
	return ids[size]
}

// add adds an entity to the page if it existed, matches, and is visible to the caller. If the page is
// full, the entity is the next one.
func (l *pastList) add(v *pastVersion) error {
	if v.deleted {
		return nil
	}
	e, err := l.journal.At(v.at)
	if err != nil || !l.viewer.sees(&e) {
		return err
	}
	created := journal.Entry{Event: events.Event{Time: v.created}}
	if matches, err := l.selection.compare(&e, &created); !matches || err != nil {
		return err
	}
	if l.given == l.asked.Limit {
		l.next = v.id
		return nil
	}
	if l.given++; l.given > 1 {
		l.body = append(l.body, ',')
	}
	l.last = v.id
	rendered := document.Render(v.id, e.Event.Version, events.FormatTime(v.created), events.FormatTime(e.Event.Time), e.Event.Document)
	if l.body, err = appendFields(l.body, rendered, l.asked.Fields); err != nil {
		return err
	}
	if cap(l.body) > l.room {
		err = web.TakeMoreMemory(l.c, cap(l.body)-l.room)
		l.room = cap(l.body)
	}
	return err
}

func (l *pastList) page() *page {
	p := &page{body: append(l.body, ']')}
	if l.next != "" {
		query := l.c.QueryParams()
		query.Set(listing.At, strconv.FormatInt(int64(l.at), 10))
		query.Set("limit", strconv.Itoa(l.asked.Limit))
		query.Set("after", listing.PastCursor{Collection: l.collection, At: l.at, ID: l.last}.Encode())
		p.link = "</" + l.collection + "?" + query.Encode() + `>; rel="next"`
	}
	p.etag = p.contentTag()
	return p
}
