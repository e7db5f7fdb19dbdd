// Package linger decides how long appends wait for each other.
package linger

import "time"

// A Linger decides how long the next group of appends waits for more of them. A group costs a
// request to the brokers, a fetch for each replica and for each node, a sync for each log, and a
// transaction for each read model. So a few large groups cost much less processor time than many
// small ones (docs/decisions/2026-11-26-appends-linger.md).
//
// The processors have work while a group is on its way, if other writers send their requests or wait
// for a transaction meanwhile. With many writers that work takes longer than a group does. Then
// groups of a third of the writers are best: one is on its way, one is in a transaction, and one is
// with its clients. Otherwise the processors have nothing to do for a part of the time anyway, and
// a group waits for all writers (docs/decisions/2026-11-28-embedded-linger.md). It is sent as soon as it
// holds them. If there was only one writer, nothing waits, so a single client that writes one event
// after another is not delayed.
//
// A wait lasts for at most twice as long as the groups before took, with many writers for four times
// as long and a little more, and no longer than the limit.
//
// It is not safe for concurrent use.
type Linger struct {
	timer    *time.Timer
	limit    time.Duration // the maximum wait; zero disables the linger
	took     time.Duration // how long the groups before took
	writers  int           // the number of appends that wait for their group or their verdict
	expected int           // the number of appends that the next group should hold
	waits    bool          // a wait has begun and not ended
}

// New returns a linger of at most limit. over is called in a goroutine of its own when the time of a
// wait is over. The wait may have ended just before that, and the next one may have begun.
func New(limit time.Duration, over func()) *Linger {
	l := &Linger{limit: limit, timer: time.AfterFunc(time.Hour, over)}
	l.timer.Stop() // until the first wait
	return l
}

const (
	// manyWriters is the number of writers from which a group may wait longer.
	manyWriters = 16
	// perWriter, times the number of writers, is the time of a group below which there are three of
	// them. It was measured with 2 to 256 clients on two processors: with 16 clients and groups of
	// 0.4 ms it was best to wait for all, with 64 for a third.
	perWriter = 20 * time.Microsecond
)

// Sent records how many appends were in progress at the end of a group, and how long the group took.
// After a failure the next group does not linger.
func (l *Linger) Sent(writers int, took time.Duration, ok bool) {
	// The number decreases slowly, so that one small group does not end a run of large ones.
	l.writers = max(writers, l.writers-l.writers/8-1)
	if !ok {
		l.writers = 0
	}
	if l.took == 0 {
		l.took = took
	}
	l.took += (took - l.took) / 4
	if l.took < time.Duration(l.writers)*perWriter {
		l.expected = l.writers / 3
	} else {
		// Without an eighth of them, so that no group waits for a few clients that are slow.
		l.expected = l.writers - l.writers/8
	}
}

// Enough reports whether the next group need not wait.
func (l *Linger) Enough(waiting int) bool {
	return l.limit == 0 || l.expected < 2 || waiting >= l.expected
}

// Begin begins a wait if it may be worthwhile, and reports whether it did.
func (l *Linger) Begin(waiting int) bool {
	wait := l.wait(waiting)
	if wait > 0 {
		l.waits = true
		l.timer.Reset(wait)
	}
	return wait > 0
}

func (l *Linger) wait(waiting int) time.Duration {
	if waiting == 0 || l.Enough(waiting) {
		return 0
	}
	wait := 2 * l.took
	if l.writers >= manyWriters {
		wait = 4*l.took + time.Duration(l.writers)*perWriter
	}
	return min(wait, l.limit)
}

// Waiting reports whether a wait has begun and not ended.
func (l *Linger) Waiting() bool { return l.waits }

// End ends the current wait, if there is one.
func (l *Linger) End() {
	if l.waits {
		l.waits = false
		l.timer.Stop()
	}
}
