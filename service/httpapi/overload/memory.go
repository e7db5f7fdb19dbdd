package overload

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Memory is the memory that all requests of a server share. Safe for concurrent use.
type Memory struct {
	free *semaphore.Weighted
	// Size is the total, in bytes.
	Size int64
}

// NewMemory returns a Memory of so many bytes.
func NewMemory(size int64) *Memory { return &Memory{semaphore.NewWeighted(size), size} }

// Account returns an account of a new request.
func (m *Memory) Account() Account { return Account{memory: m} }

// An Account counts what one request has taken of a [Memory]. Use it from one goroutine.
type Account struct {
	memory *Memory
	taken  int64
}

// Take takes n more bytes until Close. If they are not free, it waits for at most a second.
// The error is a [BusyError], or a problem if ctx ended.
func (a *Account) Take(ctx context.Context, n int64) error {
	if !a.memory.free.TryAcquire(n) {
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if a.memory.free.Acquire(wait, n) != nil {
			return waitError(ctx, OutOfMemory)
		}
	}
	a.taken += n
	return nil
}

// TryTake takes n more bytes until Close if they are free, without waiting. The error is a
// [BusyError].
func (a *Account) TryTake(n int64) error {
	if !a.memory.free.TryAcquire(n) {
		return &BusyError{OutOfMemory}
	}
	a.taken += n
	return nil
}

// Give returns n bytes that were taken and are no longer needed.
func (a *Account) Give(n int64) {
	a.memory.free.Release(n)
	a.taken -= n
}

// Close returns all bytes that are still taken.
func (a *Account) Close() { a.memory.free.Release(a.taken) }
