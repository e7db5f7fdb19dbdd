package continuity

import "github.com/clusterlite/clusterlite/events"

// inspectEvery is how many answers of a broker that raise no doubt pass between two inspections.
const inspectEvery = 10

// A Watch decides when a worker inspects whether the log is still the one that it applies. An
// inspection is due at regular intervals, and whenever there is doubt, because the broker was
// unreachable or reported an end before the worker's position.
type Watch struct {
	known   Mark // what was applied when the last inspection began
	sound   Mark // what was applied when there was last no doubt
	doubt   bool
	answers int
}

// NewWatch returns a Watch of a worker that is at a mark.
func NewWatch(now Mark) *Watch { return &Watch{known: now, sound: now} }

// Heard takes the worker's mark, and the broker's later answer to a request for the end of the log.
// If an inspection is due, the log must hold what was applied before since.
func (w *Watch) Heard(now Mark, end events.Position, err error) (since Mark, due bool) {
	w.answers++
	w.doubt = w.doubt || err != nil || end < now.Position
	if err != nil || !w.doubt && w.answers%inspectEvery != 0 {
		if !w.doubt {
			w.sound = now
		}
		return Mark{}, false
	}
	if w.doubt {
		w.known = w.sound
	}
	return w.known, true
}

// Inspected takes the result of an inspection that Heard asked for: nil if the log is the same,
// otherwise the reason why the broker could not say.
func (w *Watch) Inspected(now Mark, err error) {
	if w.doubt = err != nil; !w.doubt {
		w.known, w.sound = now, now
	}
}
