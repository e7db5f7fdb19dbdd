package wire_test

import (
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// typical returns the event of a typical write: created, with a document of 170 bytes and one claim.
func typical() events.Event {
	e := samples()["created"]
	e.Claims = []string{"email:AAAAAAAAAAAAAAAAAAAAAA"}
	e.Document = []byte(`{"name":"Person 00000001, with a name that is long enough to make a document of one hundred and seventy bytes, as many are","email":"person-00000001@example.com"}`)
	return e
}

func BenchmarkRecord(b *testing.B) {
	e := typical()
	b.ReportAllocs()
	for b.Loop() {
		if r := wire.Record("t", wire.NewMessage(e)); len(r.Headers) == 0 {
			b.Fatal("got no headers, want some")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	record := wire.Record("t", wire.NewMessage(typical()))
	stored := wire.Stored{Offset: 1, Timestamp: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Value: record.Value}
	for _, h := range record.Headers {
		stored.Headers = append(stored.Headers, wire.Header{Name: h.Key, Value: h.Value})
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := wire.Parse(stored); r.Content != events.HasEvent {
			b.Fatalf("got %+v, want an event", r)
		}
	}
}
