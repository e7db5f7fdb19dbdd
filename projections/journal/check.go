package journal

import (
	"context"
	"fmt"

	"github.com/clusterlite/clusterlite/events"
)

// Check reads everything up to a position, and follows each event to the previous one of its entity.
// It returns the number of events by collection, or a [DamagedError], after which the journal refuses
// reads.
func (j *Journal) Check(ctx context.Context, upTo events.Position) (count map[string]int64, err error) {
	count = map[string]int64{}
	start := j.Start()
	_, err = j.Each(ctx, start, upTo, func(e *Entry) error {
		count[e.Event.Collection]++
		if e.Event.Version == 1 && e.Previous == 0 {
			return nil
		}
		if e.Previous == 0 && start > 0 {
			return nil // the previous event is from before the start
		}
		previous, err := j.At(e.Previous)
		if err == nil && (previous.Event.EntityID != e.Event.EntityID || previous.Event.Collection != e.Event.Collection || previous.Event.Version != e.Event.Version-1) {
			err = ErrNotFound
		}
		if err == ErrNotFound || err == ErrNotHeld { //nolint:errorlint // our own, and never wrapped
			return fmt.Errorf("%w: the event at position %d does not follow version %d of its entity", errBad, e.Position, e.Event.Version-1)
		}
		return err
	})
	return count, err
}
