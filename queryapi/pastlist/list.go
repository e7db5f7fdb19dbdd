package pastlist

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
)

const (
	// firstWindow and maxWindow are numbers of entities: see [List.window].
	firstWindow = 1 << 10
	maxWindow   = 64 << 10
	// windowBytes is the memory for one entity in a window. Twice as many are held meanwhile.
	windowBytes = 2 * 200
)

// A List is a page of the entities of a collection as they were at a position, in the order of ids.
type List struct {
	Journal    *journal.Journal
	Collection string
	At         events.Position
	// After is the id after which the page begins, or empty.
	After string
	Limit int
	// Selection has the filters.
	Selection *Selection
	// Visible reports whether the caller may see the entity as an event left it.
	Visible func(*journal.Entry) bool
	// Window is the number of entities that the first pass looks for. Zero means a default.
	Window int
	// Take takes memory, in bytes, for as long as the page is read. Its error ends the list.
	Take func(bytes int) error
	// Each gets each entity as clients see it. Its error ends the list.
	Each func(rendered []byte) error

	given int
	last  string
	more  bool
}

// Read reads the page. The journal is in the order of time and the page in that of ids, so each pass
// over the journal takes the entities of a window, whose ids are the smallest after the last one. If
// there is more than the page has, last is the id of its last entity. Otherwise last is empty.
func (l *List) Read(ctx context.Context) (last string, err error) {
	after := l.After
	size, taken := cmp.Or(l.Window, max(firstWindow, l.Limit+1)), 0
	for {
		if err := l.Take((size - taken) * windowBytes); err != nil {
			return "", err
		}
		taken = size
		window, complete, err := l.window(ctx, after, size)
		if err != nil {
			return "", err
		}
		for _, v := range window {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			if err := l.add(v); err != nil {
				return "", err
			}
			if l.more {
				return l.last, nil
			}
			after = v.id
		}
		if complete {
			return "", nil
		}
		size = max(size, min(8*size, maxWindow))
	}
}

// A version is the newest event of an entity in a window.
type version struct {
	id      string
	at      events.Position
	created time.Time
	deleted bool
}

// window returns the entities with the smallest ids after one, in the order of ids, including deleted
// ones. complete reports that there are no more.
func (l *List) window(ctx context.Context, after string, size int) (window []*version, complete bool, err error) {
	held := make(map[string]*version)
	ceiling := "" // if it is not empty, entities from this id on are for a later pass
	_, err = l.Journal.Each(ctx, 0, l.At, func(e *journal.Entry) error {
		id := e.Event.EntityID
		if e.Event.Collection != l.Collection || id <= after || ceiling != "" && id >= ceiling {
			return nil
		}
		v := held[id]
		if v == nil {
			if len(held) == 2*size {
				// An entity that is dropped stays out, so what is held has all its events.
				if ceiling = shrink(held, size); id >= ceiling {
					return nil
				}
			}
			v = &version{id: id, created: e.Event.Time}
			held[id] = v
		}
		v.at, v.deleted = e.Position, e.Event.Kind == events.Deleted
		return nil
	})
	for _, v := range held {
		window = append(window, v)
	}
	slices.SortFunc(window, func(a, b *version) int { return cmp.Compare(a.id, b.id) })
	return window, ceiling == "", err
}

// shrink removes all but the entities with the smallest ids, and returns the smallest id that it
// removed.
func shrink(held map[string]*version, size int) (ceiling string) {
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

// add passes an entity on if it existed, matches, and is visible to the caller. If the page is full,
// there is more.
func (l *List) add(v *version) error {
	if v.deleted {
		return nil
	}
	e, err := l.Journal.At(v.at)
	if err != nil || !l.Visible(&e) {
		return err
	}
	if matches, err := l.Selection.compare(&e, events.FormatTime(v.created)); !matches || err != nil {
		return err
	}
	if l.given == l.Limit {
		l.more = true
		return nil
	}
	l.given, l.last = l.given+1, v.id
	return l.Each(e.Rendered(v.created))
}
