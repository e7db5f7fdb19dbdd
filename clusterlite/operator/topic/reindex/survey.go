package reindex

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/clusterlite/clusterlite/events"
)

// A survey is the result of a walk over all living entities.
type survey struct {
	at events.Position
	// living counts the living entities. lacking counts those that do not hold the claims that
	// they should. pending counts those among the latter that can get their claims.
	living, lacking, pending int64
	clashes                  []Clash
	// keeper names, for each claim that clashes, the entity that may keep it.
	keeper map[string]string
}

// survey walks the collection at the end of the log, or later.
func (r *Reindex) survey(ctx context.Context) (s survey, err error) {
	end, err := r.Log.End(ctx)
	if err != nil {
		return s, err
	}
	if err := r.Model.WaitFor(ctx, end); err != nil {
		return s, err
	}
	tally, err := openTally(ctx, r.Dir)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, tally.close()) }()
	if err := r.count(ctx, &s, tally); err != nil {
		return s, err
	}
	if s.clashes, s.keeper, err = tally.clashes(ctx); err != nil {
		return s, err
	}
	s.pending, err = tally.pending(ctx, s.keeper)
	return s, err
}

// count walks all entities.
func (r *Reindex) count(ctx context.Context, s *survey, tally *tally) (err error) {
	snapshot, err := r.Model.BeginLongRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	s.at = snapshot.At
	status, err := r.Model.Status(ctx)
	if err != nil {
		return err
	}
	total := status.Entities[r.Collection.Name()]
	return snapshot.Entities(ctx, r.Collection.Name(), "", func(e events.Entity) error {
		s.living++
		r.progress("surveyed", s.living, total)
		d, wanted, err := r.wanted(e)
		if err != nil {
			return err
		}
		if !same(e.Claims, wanted) {
			s.lacking++
			if err := tally.lacking(ctx, e, wanted); err != nil {
				return err
			}
		}
		for _, claim := range wanted {
			value, err := json.Marshal(d.Value()[events.ClaimField(claim)])
			if err != nil {
				return err
			}
			if err := tally.wants(ctx, e, claim, clip(string(value))); err != nil {
				return err
			}
		}
		return nil
	})
}

// attainable returns the claims that an entity wants, except those that another entity keeps.
func attainable(id string, wanted []string, keeper map[string]string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(claim string) bool {
		keeps, clashes := keeper[claim]
		return clashes && keeps != id
	})
}

// clip shortens a value for a report.
func clip(s string) string {
	const maximum = 100
	if len(s) > maximum {
		return s[:maximum] + "…"
	}
	return s
}
