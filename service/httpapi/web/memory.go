package web

import (
	"context"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"
)

// parsed is what a JSON document takes in memory at most, for each of its bytes: one that
// is nothing but small objects takes 47 times as much as its text.
const parsed = 48

// An account is what one request has taken of the memory that all share. One goroutine
// uses it.
type account struct {
	memory *semaphore.Weighted
	taken  int64
}

// take takes n more bytes until the request ends, or waits for them for a while.
func (a *account) take(ctx context.Context, n int64) error {
	if !a.memory.TryAcquire(n) {
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if a.memory.Acquire(wait, n) != nil {
			return lacking(ctx, lackMemory)
		}
	}
	a.taken += n
	return nil
}

// takeMore takes n more bytes if they are free, and never waits for them.
func (a *account) takeMore(n int64) error {
	if !a.memory.TryAcquire(n) {
		return &errBusy{lackMemory}
	}
	a.taken += n
	return nil
}

// give returns n bytes that were taken and are no longer needed.
func (a *account) give(n int64) {
	a.memory.Release(n)
	a.taken -= n
}

func (a *account) close() { a.memory.Release(a.taken) }

// TakeMemory takes n bytes of the memory that all requests share, until the request ends.
// A handler that gathers what may be large calls it as it goes. It waits for a second at
// most. The error is for the handler to return: the server answers it with 503.
func TakeMemory(c echo.Context, n int) error {
	a := admissionOf(c)
	if a == nil {
		return nil // a server without limits
	}
	return a.take(c.Request().Context(), int64(n))
}

// TakeMoreMemory is [TakeMemory] for a handler that holds something that others wait for,
// such as a connection to a database. It doesn't wait: if there is no memory, the error
// says so at once.
func TakeMoreMemory(c echo.Context, n int) error {
	a := admissionOf(c)
	if a == nil {
		return nil // a server without limits
	}
	return a.takeMore(int64(n))
}
