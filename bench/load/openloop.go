package load

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An OpenLoop starts operations at a constant rate, whether or not earlier ones are done.
// Clients that are independent of each other behave in this way. A latency counts from the time
// when the operation was due. So the latency includes the time of all operations that a stalled
// server delayed (no "coordinated omission", as wrk2 puts it).
type OpenLoop struct {
	PerSecond float64
	// Workers is the maximum number of operations in progress.
	Workers int
	// Do executes the operation with this number, counted from 0.
	Do func(ctx context.Context, n int) error
}

// Run starts operations for d and waits for all of them. The latencies are sorted.
func (l OpenLoop) Run(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	total := int64(l.PerSecond * d.Seconds())
	began := time.Now()
	latencies := make([]time.Duration, total)
	var next atomic.Int64
	failed := make([]error, l.Workers)
	var wait sync.WaitGroup
	for i := range l.Workers {
		wait.Go(func() {
			for failed[i] == nil {
				n := next.Add(1) - 1
				if n >= total {
					return
				}
				due := began.Add(time.Duration(float64(n) / l.PerSecond * float64(time.Second)))
				if failed[i] = sleepUntil(ctx, due); failed[i] == nil {
					failed[i] = l.Do(ctx, int(n))
					latencies[n] = time.Since(due)
				}
			}
		})
	}
	wait.Wait()
	slices.Sort(latencies)
	return latencies, errors.Join(failed...)
}

func sleepUntil(ctx context.Context, due time.Time) error {
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Percentile returns the value that the given fraction of the sorted values does not exceed. It
// returns zero for an empty list.
func Percentile(sorted []time.Duration, part float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(part*float64(len(sorted))))-1)]
}
