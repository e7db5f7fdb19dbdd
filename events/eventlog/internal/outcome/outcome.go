// Package outcome reports what becomes of an append.
package outcome

import "time"

// An Outcome is what becomes of an append. Its channels have room for their only value, so that
// Finish never blocks.
type Outcome struct {
	confirmed chan time.Time
	failed    chan error
}

// New returns an outcome that is not known yet.
func New() Outcome { return Outcome{make(chan time.Time, 1), make(chan error, 1)} }

// Finish reports the outcome, once.
func (o Outcome) Finish(err error) {
	if err != nil {
		o.failed <- err
		return
	}
	o.confirmed <- time.Now()
}

// Confirmed receives the time at which all in-sync replicas had the events.
func (o Outcome) Confirmed() <-chan time.Time { return o.confirmed }

// Failed receives the error of the append, which is one of Log.Append.
func (o Outcome) Failed() <-chan error { return o.failed }
