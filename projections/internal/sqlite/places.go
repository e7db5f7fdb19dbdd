package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Places limit how many reads of one kind run at a time. Safe for concurrent use.
type Places struct {
	free *semaphore.Weighted
	// Patience is how long a read waits for a place.
	Patience time.Duration
	// Starved is the time, in Unix nanoseconds, of the first read that got no place since one was
	// last taken. It is 0 if there was none.
	Starved atomic.Int64
}

func newPlaces(n int) *Places {
	return &Places{free: semaphore.NewWeighted(int64(n)), Patience: ReadPatience}
}

// take takes a place. It waits for a free one until the deadline of ctx, and at most p.Patience, and then
// returns [ErrNoConnection]. If ctx is cancelled, it returns ctx.Err().
func (p *Places) take(ctx context.Context) error {
	if p.tryTake() {
		return nil
	}
	patient, cancel := context.WithTimeout(ctx, p.Patience)
	defer cancel()
	if p.free.Acquire(patient, 1) == nil {
		p.taken()
		return nil
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	p.Starved.CompareAndSwap(0, time.Now().UnixNano())
	return fmt.Errorf("%w: no connection was free within %s: %w", ErrNoConnection, p.Patience, patient.Err())
}

// tryTake takes a place, unless none is free.
func (p *Places) tryTake() bool {
	if !p.free.TryAcquire(1) {
		return false
	}
	p.taken()
	return true
}

// taken notes that reads get places.
func (p *Places) taken() {
	if p.Starved.Load() != 0 {
		p.Starved.Store(0)
	}
}

func (p *Places) release() { p.free.Release(1) }

// Stuck returns how long no read has been able to take a place, or zero if reads take places or
// one is free. It resets itself once a place is free.
func (p *Places) Stuck() time.Duration {
	since := p.Starved.Load()
	if since == 0 {
		return 0
	}
	if p.tryTake() {
		p.release()
		return 0
	}
	return time.Since(time.Unix(0, since))
}
