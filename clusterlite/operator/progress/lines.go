package progress

import (
	"fmt"
	"io"
	"time"
)

// showLines writes a line at intervals, and a final one at the end.
func (t *Task) showLines(io.Writer) {
	for {
		// A failure to show progress doesn't stop the task.
		_, _ = fmt.Fprintf(t, "%s: %s\n", t.what, t.figures())
		if !t.sampleFor(interval) {
			break
		}
	}
	_, _ = fmt.Fprintf(t, "%s: %s\n", t.what, t.outcome())
}

// figures formats the progress of the task: done, total, rate and time left.
func (t *Task) figures() string {
	text := t.amount()
	r := t.rate.perSecond()
	if r <= 0 {
		return text
	}
	text += ", " + quantity(int64(r), t.unit) + "/s"
	if left := t.total.Load() - t.done.Load(); left > 0 {
		text += ", " + duration(float64(left)/r) + " left"
	}
	return text
}

// outcome formats what the task did in total, and how fast.
func (t *Task) outcome() string {
	took := time.Since(t.start).Seconds()
	return fmt.Sprintf("%s in %s, %s/s", t.amount(), duration(took), quantity(int64(float64(t.done.Load()-t.before.Load())/took), t.unit))
}

// amount formats how much of the total is done.
func (t *Task) amount() string {
	done, total := t.done.Load(), t.total.Load()
	text := quantity(done, t.unit)
	if total > 0 {
		text += " of " + quantity(total, t.unit)
	}
	if t.unit != Bytes {
		text += " " + t.unit
	}
	return text
}
