package events_test

import (
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

func TestNoRecordMovesThePositionAndNothingElse(t *testing.T) {
	for _, what := range []string{events.Gap, "marker 1764000000000 7"} {
		r := events.NoRecordAt(6, what)
		if r.Content != events.NoRecord || r.Position() != 7 || !r.Timestamp.IsZero() {
			t.Fatalf("%s: got %+v, want no record up to position 7", what, r)
		}
		state := events.NewMemory()
		state.Time = time.UnixMilli(5)
		if v, err := state.Take(r); err != nil || v.Outcome != events.Passed || !state.Time.Equal(time.UnixMilli(5)) {
			t.Errorf("%s: got %+v, %v, log time %s, want passed, and log time unchanged", what, v, err, state.Time)
		}
		if id := r.Identity(); !events.IdentifiesLastBefore(id, 7) || events.IdentifiesLastBefore(id, 6) || events.IdentifiesLastBefore(id, 70) {
			t.Errorf("%s: got the identity %q, want it to identify only position 7", what, id)
		}
	}
}

func TestOnlyAGapIsCut(t *testing.T) {
	gap := events.NoRecordAt(6, events.Gap)
	if got, cut := gap.UpTo(3); !cut || got.Position() != 3 || got.Identity() != events.NoRecordAt(2, events.Gap).Identity() {
		t.Errorf("got %+v, %v, want the gap up to position 3", got, cut)
	}
	for name, r := range map[string]events.Record{
		"a gap that ends there": events.NoRecordAt(2, events.Gap),
		"a marker":              events.NoRecordAt(6, "marker 1 7"),
		"a record":              {Offset: 6, Content: events.Malformed},
	} {
		if got, cut := r.UpTo(3); cut || got.Position() != r.Position() {
			t.Errorf("%s: got %+v, %v, want it unchanged", name, got, cut)
		}
	}
}
