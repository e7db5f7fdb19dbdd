// Package linger decides how long appends wait for each other.
package linger

import "time"

// A Linger decides how long the next group of appends waits for more of them. Each produce
// request costs the brokers one produce, a fetch for each replica and a fetch for each node,
// so on a busy cluster a few large groups cost much less processor time than many small ones
// (docs/decisions/2026-11-26-appends-linger.md).
//
// A group lingers only if recent groups held several appends. So a single client that writes one
// event after another never waits. A group waits at most twice as long as the broker took for the
// previous group, and no longer than the limit. It is sent as soon as it holds as many appends as
// recent groups did.
//
// Clients that write again after each response fall into two parties: one waits for its append
// while the other waits for its verdict. Then each group holds only half of them. So if many
// appends are in a group or arrive during it, the next one waits for most of both, and for up to
// four times as long as the broker took (docs/decisions/2026-11-27-larger-groups.md).
//
// It is not safe for concurrent use, except for receiving from Enough.
type Linger struct {
	limit    time.Duration // the maximum wait; zero disables the linger
	took     time.Duration // how long the broker took for the previous group
	expected int           // the number of appends that the next group should hold
	many     bool          // many appends were in the previous group or waited at its end
	wanted   int           // the number of appends that ends the current wait; zero if there is no wait
	Enough   chan struct{} // gets a token when the wanted number is waiting
}

// New returns a linger of at most limit.
func New(limit time.Duration) Linger {
	return Linger{limit: limit, Enough: make(chan struct{}, 1)}
}

// Arrived ends the current wait if enough appends are waiting.
func (l *Linger) Arrived(waiting int) {
	if l.wanted > 0 && waiting >= l.wanted {
		l.wanted = 0
		l.Enough <- struct{}{}
	}
}

// manyAppends is the number of appends from which a group waits for both parties.
const manyAppends = 16

// Sent records the size and the time of a group, and how many appends were waiting at its end.
// After a failure the next group does not linger.
func (l *Linger) Sent(appends, waiting int, took time.Duration, ok bool) {
	both, expected := appends+waiting, appends
	if l.many = both >= manyAppends; l.many {
		// Without an eighth of them, so that no group waits for a few clients that are slow.
		expected = max(appends, both-both/8)
	}
	l.took = took
	// The number decreases slowly, so that one small group does not end a run of large ones.
	if l.expected = max(expected, l.expected-l.expected/8-1); !ok {
		l.expected = 0
	}
}

// Begin begins a wait if it may be worthwhile, and returns its duration. Zero means no wait.
func (l *Linger) Begin(waiting int) time.Duration {
	if waiting == 0 || l.expected < 2 || waiting >= l.expected {
		return 0
	}
	wait := 2 * l.took
	if l.many {
		wait = 4 * l.took
	}
	wait = min(wait, l.limit)
	if wait > 0 {
		l.wanted = l.expected
	}
	return wait
}

// End ends the wait. It removes a token that arrived at the same moment as another reason to end.
func (l *Linger) End() {
	l.wanted = 0
	select {
	case <-l.Enough:
	default:
	}
}
