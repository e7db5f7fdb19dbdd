package projections

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/preparations"
)

// BenchmarkApply applies creates of users with unique addresses to a file on disk that already
// holds some users. One operation is one event.
func BenchmarkApply(b *testing.B) {
	declared, err := collections.Load("")
	if err != nil {
		b.Fatal(err)
	}
	users, _ := declared.Get("users")
	for _, held := range []int{0, 10_000, 300_000} {
		ctx := context.Background()
		path := filepath.Join(b.TempDir(), "projection.db")
		g, err := generation.Open(ctx, path, declared, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		var next int64
		apply := func(b *testing.B, n, size int) {
			for ; n > 0; n -= size {
				b.StopTimer()
				records := make([]events.Record, min(n, size))
				for i := range records {
					records[i] = createdUser(b, users, next)
					next++
				}
				b.StartTimer()
				if _, err := g.Writer.Apply(ctx, records); err != nil {
					b.Fatal(err)
				}
			}
		}
		for _, size := range []int{1, 8, 64, 1000} {
			b.Run(fmt.Sprintf("held=%d/batch=%d", held, size), func(b *testing.B) {
				if missing := held - int(next); missing > 0 {
					apply(b, missing, 1000)
				}
				b.ReportAllocs()
				b.ResetTimer()
				before := preparations.Count()
				apply(b, b.N, size)
				b.ReportMetric(float64(preparations.Count()-before)*1000/float64(b.N), "prepared/1000op")
			})
		}
		if err := g.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuild fills the private file of a rebuild with creates of users in batches of 1,000,
// and then publishes the file so that it can serve. One operation is one event.
func BenchmarkBuild(b *testing.B) {
	declared, err := collections.Load("")
	if err != nil {
		b.Fatal(err)
	}
	users, _ := declared.Get("users")
	ctx := context.Background()
	for _, journaled := range []bool{false, true} {
		b.Run(fmt.Sprintf("journal=%t", journaled), func(b *testing.B) {
			g, err := generation.OpenPrivate(ctx, filepath.Join(b.TempDir(), "projection.db"), declared)
			if err == nil {
				err = g.KeepJournal(journaled, slog.New(slog.DiscardHandler))
			}
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			spent := applyCreates(ctx, b, g, users, 1000)
			before := cpuTime(b)
			if err := g.Publish(ctx, declared, slog.New(slog.DiscardHandler)); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			spent += cpuTime(b) - before
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/op")
			if err := g.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// applyCreates applies b.N creates in batches of the given size, and returns the processor time that
// this took. The timer runs only meanwhile, and when the function returns.
func applyCreates(ctx context.Context, b *testing.B, g *generation.Generation, users *collections.Collection, size int) (spent time.Duration) {
	b.Helper()
	for next := 0; next < b.N; {
		b.StopTimer()
		records := make([]events.Record, min(b.N-next, size))
		for i := range records {
			records[i] = createdUser(b, users, int64(next))
			next++
		}
		before := cpuTime(b)
		b.StartTimer()
		if _, err := g.Writer.Apply(ctx, records); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		spent += cpuTime(b) - before
		b.StartTimer()
	}
	return spent
}

func createdUser(b testing.TB, users *collections.Collection, offset int64) events.Record {
	b.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		b.Fatal(err)
	}
	email := fmt.Sprintf("person-%d@example.com", offset)
	now := time.UnixMilli(1_764_000_000_000 + offset)
	return events.Record{
		Offset: offset, Timestamp: now, Content: events.HasEvent,
		Event: events.Event{
			ID: id.String(), Source: "/clusterlite/command/1", Collection: "users", EntityID: id.String(),
			Kind: events.Created, Version: 1, Time: now,
			Claims:   users.Claims(map[string]any{"email": email}),
			Document: fmt.Appendf(nil, `{"name":"A person with a name that makes the document about one hundred and seventy bytes long, as many are","email":%q}`, email),
		},
	}
}

// BenchmarkApplyJournal compares batches with and without a journal, in turn.
func BenchmarkApplyJournal(b *testing.B) {
	declared, err := collections.Load("")
	if err != nil {
		b.Fatal(err)
	}
	users, _ := declared.Get("users")
	for _, size := range []int{1, 8, 64, 1000} {
		for _, journaled := range []bool{false, true} {
			b.Run(fmt.Sprintf("batch=%d/journal=%t", size, journaled), func(b *testing.B) {
				ctx := context.Background()
				g, err := generation.Open(ctx, filepath.Join(b.TempDir(), "projection.db"), declared, slog.New(slog.DiscardHandler))
				if err == nil {
					err = g.KeepJournal(journaled, slog.New(slog.DiscardHandler))
				}
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				spent := applyCreates(ctx, b, g, users, size)
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/op")
				b.StopTimer()
				if err := g.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// cpuTime returns the CPU time of the process, which does not depend on what else the machine does.
func cpuTime(b testing.TB) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
