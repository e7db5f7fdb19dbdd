package events_test

import (
	"testing"

	"github.com/clusterlite/clusterlite/events"
)

// BenchmarkRecord encodes an event as the record that is appended.
func BenchmarkRecord(b *testing.B) {
	e := full()
	b.ReportAllocs()
	for b.Loop() {
		if r := (events.Codec{}).Record("t", events.NewMessage(e)); len(r.Headers) == 0 {
			b.Fatal("got no headers")
		}
	}
}

// BenchmarkParse decodes a record as each reader does.
func BenchmarkParse(b *testing.B) {
	r := (events.Codec{}).Record("t", events.NewMessage(full()))
	stored := events.Stored{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		stored.Headers = append(stored.Headers, events.Header{Name: h.Key, Value: h.Value})
	}
	b.ReportAllocs()
	for b.Loop() {
		if record := events.Parse(stored); record.Content != events.HasEvent {
			b.Fatal(record.Malformed)
		}
	}
}
