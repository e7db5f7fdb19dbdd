package eventlog_test

import (
	"context"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// BenchmarkCatchUp reads a log from its beginning, as a joining node does.
func BenchmarkCatchUp(b *testing.B) {
	const batches, size = 40, 500
	l, _ := prepared(b)
	for range batches {
		var batch []events.Event
		for i := range size {
			batch = append(batch, event(i))
		}
		if _, err := l.Append(deadline(b), batch...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := l.Subscribe(0, "")
		if err != nil {
			b.Fatal(err)
		}
		for at := events.Position(0); at < batches*size; {
			records, err := s.Take(deadline(b), 1000)
			if err != nil {
				b.Fatal(err)
			}
			at = records[len(records)-1].Position()
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(batches*size*b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkAppend appends events one by one from many goroutines at once, as commands do.
func BenchmarkAppend(b *testing.B) {
	l, _ := prepared(b)
	ctx := deadline(b)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := l.Append(ctx, event(i)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkEnd requests the end of the log from many goroutines at once, as strong reads do.
// Calls that wait at the same time share one request to the broker.
func BenchmarkEnd(b *testing.B) { together(b, (*eventlog.Log).End) }

// BenchmarkBarrier waits for barriers in many goroutines, as linearizable reads do. Calls that
// wait at the same time share one barrier.
func BenchmarkBarrier(b *testing.B) { together(b, (*eventlog.Log).Barrier) }

func together(b *testing.B, ask func(*eventlog.Log, context.Context) (events.Position, error)) {
	l, _ := prepared(b)
	ctx := deadline(b)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := ask(l, ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
