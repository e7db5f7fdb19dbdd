// Package reindex gives the entities of a collection the claims that its current definition
// requires. Claims are part of events, so after a field becomes unique, an entity holds a
// claim on it only once an event says so. For each entity that needs it, reindex appends an
// event with the same document and the current claims. These events are admitted or void
// like any other, and clients may write meanwhile.
package reindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
)

// ErrUnsettled is returned if entities lose their claims as fast as they get them.
var ErrUnsettled = errors.New("entities keep losing claims. A command service with an older definition of the collection is probably running. Stop it, or restart it with the current definition, then run this again")

// maxRounds is the maximum number of rounds. One is enough if no client writes; each write
// in between may need another.
const maxRounds = 20

// A Reindex is one run. Use it from one goroutine.
type Reindex struct {
	// Log receives the events.
	Log *eventlog.Log
	// Model is a running projection of Log.
	Model *projections.Projection
	// Collection is the current definition of the collection.
	Collection *collections.Collection
	// Dir is a folder for the survey's temporary file.
	Dir string
	// Source names this run in its events.
	Source string
	// Wait is the maximum time to wait for the verdicts on appended events.
	Wait time.Duration
	// DryRun only reports, and appends nothing.
	DryRun bool
	// SkipClashing gives claims to all other entities even if some values clash.
	SkipClashing bool
	// Progress, if not nil, is called often with the progress of the current task.
	Progress func(what string, done, total int64)
}

// A Report is the result of a run.
type Report struct {
	Collection string `json:"collection"`
	// Fields are the fields that are unique according to the definition.
	Fields []string `json:"fields"`
	// Position is the position for which the other fields are valid.
	Position events.Position `json:"position"`
	// Entities is the number of living entities.
	Entities int64 `json:"entities"`
	// Changed is the number of events of this run that were admitted.
	Changed int64 `json:"changed"`
	// Lacking is the number of entities whose claims differ from what the definition
	// requires.
	Lacking int64 `json:"lacking"`
	// Clashes are the values that more than one entity has.
	Clashes []Clash `json:"clashes"`
}

// A Clash is a value of a unique field that several living entities have.
type Clash struct {
	Field string `json:"field"`
	// Value is the value of the first entity as JSON, shortened.
	Value string `json:"value"`
	// IDs are the ids of the entities. The first entity would keep the value: it is the one
	// that already holds it, or else the oldest.
	IDs []string `json:"ids"`
}

// Run looks for entities that lack claims and for values that clash. If no values clash, or if
// clashes are to be skipped, it appends events until no claims are missing, even if clients
// write meanwhile. Then it verifies the whole collection. It can be stopped at any time and run
// again.
//
// It returns [ErrUnsettled], ctx.Err() if ctx ends, or the error of the log. Events that
// were already admitted remain.
func (r *Reindex) Run(ctx context.Context) (Report, error) {
	report, err := r.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // an interrupted task needs no error of its own
	}
	return report, err
}

func (r *Reindex) run(ctx context.Context) (Report, error) {
	var changed int64
	for round := range maxRounds {
		s, err := r.survey(ctx)
		if err != nil {
			return Report{}, err
		}
		report := r.report(s, changed)
		if s.pending == 0 || r.DryRun || len(s.clashes) > 0 && !r.SkipClashing && round == 0 {
			return report, nil
		}
		admitted, err := r.append(ctx, s)
		if changed += admitted; err != nil {
			return Report{}, fmt.Errorf("after %d events were admitted: %w", changed, err)
		}
	}
	return Report{}, ErrUnsettled
}

func (r *Reindex) report(s survey, changed int64) Report {
	report := Report{
		Collection: r.Collection.Name(), Fields: []string{}, Position: s.at,
		Entities: s.living, Changed: changed, Lacking: s.lacking, Clashes: s.clashes,
	}
	for _, p := range r.Collection.Properties() {
		if p.Unique {
			report.Fields = append(report.Fields, p.Name)
		}
	}
	return report
}

func (r *Reindex) progress(what string, done, total int64) {
	if r.Progress != nil {
		r.Progress(what, done, total)
	}
}

// wanted returns the claims that an entity should hold according to the definition.
func (r *Reindex) wanted(e events.Entity) (document.Document, []string, error) {
	d, err := document.ParseStored(e.Rendered)
	if err != nil {
		return d, nil, fmt.Errorf("read the document of %s/%s: %w", e.Collection, e.ID, err)
	}
	return d, r.Collection.Claims(d.Value()), nil
}

// same reports whether an entity holds exactly these claims, in any order.
func same(holds, wanted []string) bool {
	if len(holds) != len(wanted) {
		return false
	}
	return !slices.ContainsFunc(wanted, func(claim string) bool { return !slices.Contains(holds, claim) })
}
