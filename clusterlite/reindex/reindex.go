// Package reindex gives the entities of a collection the claims that its definition asks
// for now. Claims travel in events, so a field that was declared unique is held by an
// entity only once an event has said so: reindex appends, for each entity that needs it,
// an event with the same document and the claims of today. Nothing but the log decides:
// such an event is admitted or void like any other, and others may write meanwhile.
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
	// Log takes the events.
	Log *eventlog.Log
	// Model is a running projection of Log.
	Model *projections.Projection
	// Collection is the definition of today.
	Collection *collections.Collection
	// Dir is a folder for the survey's temporary file.
	Dir string
	// Source names this run in its events.
	Source string
	// Wait is the longest wait for the verdict of what was appended.
	Wait time.Duration
	// DryRun only looks.
	DryRun bool
	// SkipClashing has the others get their claims even if some clash.
	SkipClashing bool
	// Tell, if not nil, is called with how much of what is done, often.
	Tell func(what string, done, total int64)
}

// A Report is what a run has found and done.
type Report struct {
	Collection string `json:"collection"`
	// Fields are those that are unique by the definition.
	Fields []string `json:"fields"`
	// Position is the position that the rest holds for.
	Position events.Position `json:"position"`
	// Entities is how many live.
	Entities int64 `json:"entities"`
	// Changed is how many events of this run were admitted.
	Changed int64 `json:"changed"`
	// Lacking is how many entities have other claims than the definition asks for.
	Lacking int64 `json:"lacking"`
	// Clashes are the values that more than one entity has.
	Clashes []Clash `json:"clashes"`
}

// A Clash is a value of a unique field that several living entities have.
type Clash struct {
	Field string `json:"field"`
	// Value is the first one's value as JSON, shortened.
	Value string `json:"value"`
	// IDs are the entities. The first is the one that keeps the value if it comes to
	// that: the one that holds it already, or else the oldest.
	IDs []string `json:"ids"`
}

// Run looks for entities that lack claims and for values that clash. If none clash, or
// they are to be skipped, it appends what is missing until nothing is, also on what
// others write meanwhile, and verifies it on the whole collection. It can be stopped at
// any time and run again.
//
// It returns [ErrUnsettled], ctx.Err() if ctx ends, or the error of the log; events that
// were admitted before hold.
func (r *Reindex) Run(ctx context.Context) (Report, error) {
	report, err := r.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // what it broke off is not worth telling
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

func (r *Reindex) tell(what string, done, total int64) {
	if r.Tell != nil {
		r.Tell(what, done, total)
	}
}

// wanted are the claims that an entity is to hold by the definition.
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
