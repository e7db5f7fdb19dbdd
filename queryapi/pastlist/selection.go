// Package pastlist answers questions about entities as they were, from the journal: whether a version of
// an entity matches the filters of a list, and which entities a list had at a position.
package pastlist

import (
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/matching"
	"github.com/clusterlite/clusterlite/projections/query"
)

// A Model has a journal. It must be safe for concurrent use.
type Model interface {
	// Journal returns the journal, and a function that the caller calls when it has read.
	Journal() (j *journal.Journal, release func(), err error)
}

// A Selection compares the versions of entities with the filters of a request. Safe for concurrent
// use.
type Selection struct {
	model   Model
	table   *matching.Table
	filters []query.Filter
	byAge   bool // a filter is on created_at, which only the first version has
}

// NewSelection returns the selection of entities of the table's collection that match all filters.
func NewSelection(model Model, table *matching.Table, filters []query.Filter) *Selection {
	byAge := slices.ContainsFunc(filters, func(f query.Filter) bool { return f.Column.Name() == "created_at" })
	return &Selection{model, table, filters, byAge}
}

// Matches compares the entity as an event left it, or before an event that deleted it. The error is
// one of the journal or of SQLite.
func (s *Selection) Matches(e *journal.Entry) (bool, error) {
	if e.Event.Kind == events.Deleted || s.byAge && e.Event.Version > 1 {
		return s.matchesWith(e)
	}
	return s.compare(e, events.FormatTime(e.Event.Time))
}

// matchesWith is Matches for an event that needs an earlier one.
func (s *Selection) matchesWith(e *journal.Entry) (bool, error) {
	j, release, err := s.model.Journal()
	if err != nil {
		return false, err
	}
	defer release()
	if e, err = j.Shown(e); err != nil {
		return false, err
	}
	created := e.Event.Time
	if s.byAge {
		if created, err = j.Created(e); err != nil {
			return false, err
		}
	}
	return s.compare(e, events.FormatTime(created))
}

func (s *Selection) compare(e *journal.Entry, createdAt string) (bool, error) {
	return s.table.Matches(s.filters, &matching.Row{
		ID: e.Event.EntityID, Version: e.Event.Version, Document: e.Event.Document,
		CreatedAt: createdAt, UpdatedAt: events.FormatTime(e.Event.Time),
	})
}
