package lifecycle

import (
	"sync"
	"time"
)

const (
	// repeatAfter is the interval at which a lasting failure is logged again.
	repeatAfter = time.Minute
	// minInterval is the minimum interval between log lines while the failure keeps changing.
	minInterval = 10 * time.Second
)

// FailureLog decides when to log a failure that occurs repeatedly. Safe for concurrent use.
type FailureLog struct {
	mu       sync.Mutex
	said     string
	began    time.Time // zero while nothing fails
	loggedAt time.Time
}

// Due reports whether to log a failure now, and how long failures have lasted.
func (n *FailureLog) Due(err error, now time.Time) (lasts time.Duration, due bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.began.IsZero() {
		n.began = now
	}
	said, silent := err.Error(), now.Sub(n.loggedAt)
	if silent >= repeatAfter || said != n.said && silent >= minInterval {
		n.said, n.loggedAt, due = said, now, true
	}
	return now.Sub(n.began).Round(time.Second), due
}

// End records that failures have ended, and returns how long they lasted.
func (n *FailureLog) End() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	lasted := time.Since(n.began).Round(time.Second)
	n.said, n.began, n.loggedAt = "", time.Time{}, time.Time{}
	return lasted
}
