package lifecycle

import (
	"sync"
	"time"
)

const (
	// nagEvery is how often a failure that lasts is told of again.
	nagEvery = time.Minute
	// nagAtMost is how often a failure that keeps changing is.
	nagAtMost = 10 * time.Second
)

// FailureLog decides when a failure that is met again and again goes to the log. Safe for
// concurrent use.
type FailureLog struct {
	mu     sync.Mutex
	said   string
	began  time.Time // zero while nothing fails
	toldAt time.Time
}

// Due tells whether to log a failure now, and how long there have been failures.
func (n *FailureLog) Due(err error, now time.Time) (lasts time.Duration, due bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.began.IsZero() {
		n.began = now
	}
	said, silent := err.Error(), now.Sub(n.toldAt)
	if silent >= nagEvery || said != n.said && silent >= nagAtMost {
		n.said, n.toldAt, due = said, now, true
	}
	return now.Sub(n.began).Round(time.Second), due
}

// End notes that nothing fails any more, and tells how long it did.
func (n *FailureLog) End() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	lasted := time.Since(n.began).Round(time.Second)
	n.said, n.began, n.toldAt = "", time.Time{}, time.Time{}
	return lasted
}
