package projections

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/preparations"
)

// BenchmarkApply applies created users with unique addresses to a file on disk. One
// operation is one event.
func BenchmarkApply(b *testing.B) {
	declared, err := collections.Load("")
	if err != nil {
		b.Fatal(err)
	}
	users, _ := declared.Get("users")
	for _, size := range []int{1, 8, 64, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			ctx := context.Background()
			g, err := openGeneration(ctx, filepath.Join(b.TempDir(), "projection.db"), declared, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = g.close() }()
			records := make([]events.Record, b.N)
			for i := range records {
				records[i] = createdUser(b, users, int64(i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := preparations.Count()
			for from := 0; from < len(records); from += size {
				if _, err := g.writer.apply(ctx, records[from:min(from+size, len(records))]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(preparations.Count()-before)*1000/float64(b.N), "prepared/1000op")
		})
	}
}

func createdUser(b *testing.B, users *collections.Collection, offset int64) events.Record {
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
