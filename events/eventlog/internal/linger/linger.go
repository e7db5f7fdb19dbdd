// Package linger decides how long appends wait for each other.
package linger

import "time"

// A Linger decides how long the next group of appends waits for more of them. A group costs a
// request to the brokers, a fetch for each replica and for each node, a sync for each log, and a
// transaction for each read model. So a few large groups cost much less processor time than many
// small ones (docs/decisions/2026-11-26-appends-linger.md).
//
// Clients that write again after each response fall into parties: one waits for its append while
// another one waits for its verdict. So each group would hold only a part of them.
//
// On brokers in other processes a group waits for as many appends as the group before held, or, if many
// were in that group or arrived during it, for most of both
// (docs/decisions/2026-11-27-larger-groups.md). On a broker in this process it depends on
// what the processors do meanwhile (docs/decisions/2026-11-28-embedded-linger.md). With many writers, the work
// for those that are not in the group takes longer than the group does. Then groups of a third of
// the writers are best: one is on its way, one is in a transaction, and one is with its clients.
// With fewer writers the processors have nothing to do for a part of the time anyway, and a group waits for
// nearly all.
//
// A group is sent as soon as it holds what it waits for. If there was only one writer, nothing waits, so
// a single client that writes one event after another is not delayed. A wait lasts for at most twice
// as long as the group before took, with many writers for four times as long and a little more, and
// no longer than the limit.
//
// It is not safe for concurrent use.
type Linger struct {
	timer    *time.Timer
	limit    time.Duration // the maximum wait; zero disables the linger
	local    bool          // the broker is in this process
	longest  time.Duration // the maximum wait for the next group, without the limit
	took     time.Duration // how long groups took on average, if local
	writers  int           // the number of writers, which decreases slowly, if local
	expected int           // the number of appends that the next group should hold
	active   bool          // a wait is in progress
}

// New returns a linger of at most limit. local says that the broker is in this process. When the time
// of a wait runs out, over is called in a goroutine of its own. By then, something else may have
// ended that wait, and another one may be in progress.
func New(limit time.Duration, local bool, over func()) *Linger {
	l := &Linger{limit: limit, local: local, timer: time.AfterFunc(time.Hour, over)}
	l.timer.Stop() // until the first wait
	return l
}

const (
	// many is the number of appends from which a group may wait longer.
	many = 16
	// perWriter, times the number of writers, is the time of a group below which there are three of
	// them. It was measured with 2 to 256 clients on two processors: with 16 clients and groups of
	// 0.4 ms it was best to wait for all, with 64 for a third.
	perWriter = 20 * time.Microsecond
)

// A Group is a group of appends whose outcome is known.
type Group struct {
	// Appends were in the group, and Waiting are those that wait for the next one.
	Appends, Waiting int
	// Writers are the callers that wait for an append or a verdict.
	Writers int
	Took    time.Duration
	// Failed means that the next group should not linger.
	Failed bool
}

// Sent records a group.
func (l *Linger) Sent(g Group) {
	if l.local {
		l.sentHere(g)
	} else {
		l.sentElsewhere(g)
	}
	if g.Failed {
		l.expected, l.writers = 0, 0
	}
}

func (l *Linger) sentElsewhere(g Group) {
	both, expected := g.Appends+g.Waiting, g.Appends
	l.longest = 2 * g.Took
	if both >= many {
		expected = max(g.Appends, most(both))
		l.longest = 4 * g.Took
	}
	l.expected = max(expected, slowly(l.expected))
}

func (l *Linger) sentHere(g Group) {
	l.writers = max(g.Writers, slowly(l.writers))
	if l.took == 0 {
		l.took = g.Took
	}
	l.took += (g.Took - l.took) / 4
	work := time.Duration(l.writers) * perWriter
	l.longest = 2 * l.took
	if l.writers >= many {
		l.longest = 4*l.took + work
	}
	if l.expected = most(l.writers); l.took < work {
		l.expected = l.writers / 3
	}
}

// most returns all but an eighth of n, so that no group waits for a few slow clients.
func most(n int) int { return n - n/8 }

// slowly decreases a number, so that one small group does not end a run of large ones.
func slowly(n int) int { return n - n/8 - 1 }

// Enough reports whether the next group need not wait.
func (l *Linger) Enough(waiting int) bool {
	return l.limit == 0 || l.expected < 2 || waiting >= l.expected
}

// Begin starts a wait if it may be worthwhile, and reports whether it did.
func (l *Linger) Begin(waiting int) bool {
	wait := l.wait(waiting)
	if wait > 0 {
		l.active = true
		l.timer.Reset(wait)
	}
	return wait > 0
}

func (l *Linger) wait(waiting int) time.Duration {
	if waiting == 0 || l.Enough(waiting) {
		return 0
	}
	return min(l.longest, l.limit)
}

// Waiting reports whether a wait is in progress.
func (l *Linger) Waiting() bool { return l.active }

// End ends the current wait, if there is one.
func (l *Linger) End() {
	if l.active {
		l.active = false
		l.timer.Stop()
	}
}
