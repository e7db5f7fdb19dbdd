package queryapi

import (
	"net/url"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/matching"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/queryapi/changes"
)

// feedFilters returns the filters of the feed of a collection: those of its lists.
func (a *API) feedFilters(collection string) changes.Filters {
	c, ok := a.Collections.Get(collection)
	if !ok {
		return changes.Filters{}
	}
	words := a.vocabulary(c)
	return changes.Filters{
		Names: words.FilterNames(changes.Parameters), Definition: words.Definition,
		Parse: func(values url.Values) (changes.Condition, error) {
			filters, err := words.ParseFilters(values, changes.Parameters)
			if len(filters) == 0 || err != nil {
				return nil, err
			}
			return a.selection(c, filters).matches, nil
		},
	}
}

// A selection compares the versions of entities with the filters of a request.
type selection struct {
	api     *API
	table   *matching.Table
	filters []query.Filter
	byAge   bool // a filter is on created_at, which only the first version has
}

func (a *API) selection(c *collections.Collection, filters []query.Filter) *selection {
	table, ok := a.tables.Load(c.Name())
	if !ok {
		table, _ = a.tables.LoadOrStore(c.Name(), matching.NewTable(c))
	}
	return &selection{a, table.(*matching.Table), filters, slices.ContainsFunc(filters, func(f query.Filter) bool { return f.Column.Name() == "created_at" })}
}

// matches compares the entity as an event left it, or before an event that deleted it. The error is
// one of the journal.
func (s *selection) matches(e *journal.Entry) (bool, error) {
	if e.Event.Kind == events.Deleted || s.byAge && e.Event.Version > 1 {
		return s.matchesWith(e)
	}
	return s.compare(e, e)
}

// matchesWith is matches for an event that needs an earlier one.
func (s *selection) matchesWith(e *journal.Entry) (bool, error) {
	j, release, err := s.api.Model.Journal()
	if err != nil {
		return false, err
	}
	defer release()
	if e.Event.Kind == events.Deleted {
		before, err := j.At(e.Previous)
		if err != nil {
			return false, err
		}
		e = &before
	}
	created := e
	if s.byAge && e.Event.Version > 1 {
		first, err := j.Version(e.Event.Collection, e.Event.EntityID, 1)
		if err != nil {
			return false, err
		}
		created = &first
	}
	return s.compare(e, created)
}

func (s *selection) compare(e, created *journal.Entry) (bool, error) {
	return s.table.Matches(s.filters, &matching.Row{
		ID: e.Event.EntityID, Version: e.Event.Version, Document: e.Event.Document,
		CreatedAt: events.FormatTime(created.Event.Time), UpdatedAt: events.FormatTime(e.Event.Time),
	})
}
