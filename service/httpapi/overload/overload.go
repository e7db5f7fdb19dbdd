// Package overload bounds the work that a server accepts at once: the number of requests in
// progress, with a bounded queue before it, and the memory that requests use. Work beyond a
// bound waits for at most a second and is then rejected with a [BusyError].
//
// Package web applies it to requests. The decision of 2026-11-24 on overload in
// docs/decisions gives the reasons.
package overload

import (
	"context"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// patience is the maximum time that a request waits for a slot or for memory. Clients that
// wait longer have often given up, and work for them is wasted.
const patience = time.Second

// The reasons of a [BusyError], which are the values of a metric's label.
const (
	QueueFull   = "queue_full"
	Timeout     = "timeout"
	OutOfMemory = "memory"
)

// Reasons are all reasons of a [BusyError].
var Reasons = []string{QueueFull, Timeout, OutOfMemory}

// A BusyError reports that the server is at capacity.
type BusyError struct {
	// Reason is one of [Reasons].
	Reason string
}

// Error returns the reason.
func (e *BusyError) Error() string { return "overload: " + e.Reason }

// waitError explains why a wait ended without success: the client cancelled the request, or
// the server is at capacity.
func waitError(ctx context.Context, reason string) error {
	if ctx.Err() != nil {
		return problem.NotReady.Because(ctx.Err(), "The client cancelled the request. Nothing was done.")
	}
	return &BusyError{reason}
}
