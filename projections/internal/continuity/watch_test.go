package continuity

import (
	"errors"
	"testing"

	"github.com/clusterlite/clusterlite/events"
)

// While nothing is wrong, the log is inspected at regular intervals. After any doubt it is
// inspected at once, against what was applied before the doubt, until an inspection succeeds.
func TestWatch(t *testing.T) {
	at := func(n int) Mark { return Mark{Position: events.Position(n)} }
	away := errors.New("away")
	w := NewWatch(at(1))
	for i := 1; i <= inspectEvery; i++ {
		since, due := w.Heard(at(i), events.Position(i), nil)
		if due != (i == inspectEvery) || due && since != at(1) {
			t.Fatalf("answer %d: got %v, since %v, want an inspection of the first mark at answer %d alone", i, due, since, inspectEvery)
		}
	}
	w.Inspected(at(10), nil)

	if _, due := w.Heard(at(11), 0, away); due {
		t.Error("the broker is away: got an inspection, which would fail as well")
	}
	since, due := w.Heard(at(12), 12, nil)
	if !due || since != at(10) {
		t.Errorf("the broker is back: got %v, since %v, want an inspection since 10", due, since)
	}
	w.Inspected(at(12), away)
	if since, due := w.Heard(at(13), 13, nil); !due || since != at(10) {
		t.Errorf("after a failed inspection: got %v, since %v, want another one since 10", due, since)
	}
	w.Inspected(at(13), nil)
	if _, due := w.Heard(at(14), 14, nil); due {
		t.Error("after a good inspection: got another one, want none")
	}
	if since, due := w.Heard(at(15), 14, nil); !due || since != at(14) {
		t.Errorf("the log ends early: got %v, since %v, want an inspection since 14", due, since)
	}
}
