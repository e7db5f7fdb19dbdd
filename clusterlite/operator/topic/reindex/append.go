package reindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/appending"
)

const (
	// batchEvents and batchBytes bound one append, as in imports.
	batchEvents = 500
	batchBytes  = 1 << 20
)

// errFull ends the walk that fills a batch.
var errFull = errors.New("the batch is full")

// append walks the collection and appends an event for each entity that lacks claims that it
// can get. It returns the number of admitted events. An event that is void because another
// write came first is not an error: the next round handles the entity.
func (r *Reindex) append(ctx context.Context, s survey) (admitted int64, err error) {
	done, after := int64(0), ""
	for {
		batch, last, err := r.next(ctx, s, after)
		if err != nil || len(batch) == 0 {
			return admitted, err
		}
		n, err := r.appendBatch(ctx, batch)
		admitted += n
		if err != nil {
			return admitted, err
		}
		done, after = done+int64(len(batch)), last
		r.progress("reindexed", done, s.pending)
	}
}

// next creates the events for the entities after a given one. It uses the newest state, so that
// few of them are void.
func (r *Reindex) next(ctx context.Context, s survey, after string) (batch []events.Event, last string, err error) {
	snapshot, err := r.Model.BeginLongRead(ctx)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	bytes := 0
	err = snapshot.Entities(ctx, r.Collection.Name(), after, func(e events.Entity) error {
		event, needed, err := r.event(ctx, e, s)
		if err != nil || !needed {
			return err
		}
		batch, last = append(batch, event), e.ID
		if bytes += len(event.Document); len(batch) == batchEvents || bytes >= batchBytes {
			return errFull
		}
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return batch, last, err
}

// event creates the event that gives an entity its claims, if it needs one.
func (r *Reindex) event(ctx context.Context, e events.Entity, s survey) (event events.Event, needed bool, err error) {
	d, wanted, err := r.wanted(e)
	if err != nil {
		return event, false, err
	}
	claims, err := r.free(ctx, e, attainable(e.ID, wanted, s.keeper))
	if err != nil || same(e.Claims, claims) {
		return event, false, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return event, false, fmt.Errorf("generate an event id: %w", err)
	}
	return events.Event{
		ID: id.String(), Source: r.Source, Collection: e.Collection, EntityID: e.ID,
		Kind: events.Updated, Version: e.Version + 1, Time: time.Now().UTC().Truncate(time.Millisecond),
		Claims: claims, Document: d.Bytes(),
	}, true, nil
}

// free removes the claims that another entity currently holds. If the other entity gives them
// up, the next round assigns them. Therefore two entities that each hold a claim of the other
// don't block each other.
func (r *Reindex) free(ctx context.Context, e events.Entity, claims []string) ([]string, error) {
	var failed error
	claims = slices.DeleteFunc(claims, func(claim string) bool {
		holder, err := r.Model.Holder(ctx, e.Collection, claim)
		failed = errors.Join(failed, err)
		return holder != "" && holder != e.ID
	})
	return claims, failed
}

// appendBatch appends events, waits for their verdicts and returns how many were admitted. The
// error is that of the first event without a verdict.
func (r *Reindex) appendBatch(ctx context.Context, batch []events.Event) (admitted int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	for _, o := range (appending.Appender{Log: r.Log, Model: r.Model}).Send(ctx, batch).Wait(ctx) {
		switch {
		case err == nil && o.Err != nil:
			err = o.Err
		case o.Err == nil && o.Verdict.Outcome == events.Admitted:
			admitted++
		}
	}
	return admitted, err
}
