package changes

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// The values of the parameter live.
const (
	livePoll = "long-poll"
	liveSSE  = "sse"
)

// DefaultLimit and MaxLimit are the maximum number of events in one answer, if the client gives no
// limit, and in any case.
const (
	DefaultLimit = 1000
	MaxLimit     = 10_000
)

// Parameters are the query parameters of the feed.
var Parameters = []string{"offset", "live", "cursor", "limit", "previous", "id", "type"}

// A query is what a client asks of the feed.
type query struct {
	collection string // empty for all
	offset     events.Position
	now        bool // from the tail
	live       string
	cursor     int64
	limit      int
	previous   bool
	ids, types []string
	visible    Rule
	seesAll    bool      // visible allows every event of the collection, or of all declared ones
	matches    Condition // nil if there are no filters
	definition string    // of the filters
}

// parse reads the query string. The error is a problem.
func (f *Feed) parse(r *http.Request, collection string) (q query, err error) {
	var filters Filters
	if f.Filters != nil && collection != "" {
		filters = f.Filters(collection)
	}
	if err := contract.RejectUnknownParameters(r, slices.Concat(Parameters, filters.Names)...); err != nil {
		return q, err
	}
	values := r.URL.Query()
	q = query{collection: collection, limit: DefaultLimit, live: values.Get("live"), definition: filters.Definition}
	if filters.Parse != nil {
		if q.matches, err = filters.Parse(values); err != nil {
			return q, err
		}
	}
	if values.Has("live") && q.live != livePoll && q.live != liveSSE {
		return q, problem.MalformedRequest.New("live must be long-poll or sse.")
	}
	offset, given := values.Get("offset"), values.Has("offset")
	if last := r.Header.Get("Last-Event-ID"); last != "" && q.live == liveSSE {
		offset, given = last, true // a browser that connects again
	}
	if !given && q.live != "" {
		return q, problem.MalformedRequest.New("live needs an offset: -1 for the beginning, now for the end, or one that an earlier answer gave.")
	}
	if given {
		if q.offset, q.now, err = parseOffset(offset); err != nil {
			return q, err
		}
	}
	if text := values.Get("limit"); values.Has("limit") {
		if q.limit, err = contract.Integer("limit", text, 1, MaxLimit); err != nil {
			return q, err
		}
	}
	switch text := values.Get("previous"); {
	case text == "true":
		q.previous = true
	case values.Has("previous") && text != "false":
		return q, problem.MalformedRequest.New("previous must be true or false.")
	}
	if values.Has("id") {
		q.ids = strings.Split(values.Get("id"), ",")
	}
	if values.Has("type") {
		q.types = strings.Split(values.Get("type"), ",")
		for _, t := range q.types {
			if !slices.Contains([]string{"created", "updated", "deleted", "restored"}, t) {
				return q, problem.MalformedRequest.New("type must be created, updated, deleted or restored, or several of them separated by commas.")
			}
		}
	}
	q.cursor, _ = strconv.ParseInt(values.Get("cursor"), 10, 64) // one of another server counts as none
	return q, nil
}

// parseOffset reads an offset. A position, as in Clusterlite-Position, is an offset too.
func parseOffset(text string) (p events.Position, now bool, err error) {
	switch text {
	case "-1":
		return 0, false, nil
	case "now":
		return 0, true, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || text[0] == '+' {
		return 0, false, problem.MalformedRequest.New("offset must be -1, now, or an offset that an earlier answer gave, not " + contract.Quote(text) + ".")
	}
	return events.Position(n), false, nil
}

// wants reports whether an event is part of the answer.
func (q *query) wants(e *journal.Entry) (bool, error) {
	if q.collection != "" && e.Event.Collection != q.collection ||
		len(q.ids) > 0 && !slices.Contains(q.ids, e.Event.EntityID) ||
		len(q.types) > 0 && !slices.Contains(q.types, string(e.Event.Kind)) ||
		!q.visible(e) {
		return false, nil
	}
	if q.matches == nil {
		return true, nil
	}
	return q.matches(e)
}

// variant distinguishes answers to different queries that cover the same positions.
func (q *query) variant() string {
	variant := ""
	if q.previous {
		variant = "p"
	}
	if q.matches != nil {
		variant += "-" + q.definition
	}
	return variant
}
