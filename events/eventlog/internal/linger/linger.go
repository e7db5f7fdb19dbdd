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
// It is not safe for concurrent use, except for receiving from Enough.
type Linger struct {
	limit    time.Duration // the maximum wait; zero disables the linger
	took     time.Duration // how long the broker took for the previous group
	expected int           // the number of appends in recent groups
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

// Sent records the size and the time of a group. After a failure the next group does not linger.
func (l *Linger) Sent(appends int, took time.Duration, ok bool) {
	l.took = took
	// The number decreases slowly, so that one small group does not end a run of large ones.
	if l.expected = max(appends, l.expected-l.expected/8-1); !ok {
		l.expected = 0
	}
}

// Begin begins a wait if it may be worthwhile, and returns its duration. Zero means no wait.
func (l *Linger) Begin(waiting int) time.Duration {
	if waiting == 0 || l.expected < 2 || waiting >= l.expected {
		return 0
	}
	wait := min(2*l.took, l.limit)
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
