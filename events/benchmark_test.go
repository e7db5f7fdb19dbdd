package events_test

import (
	"fmt"
	"testing"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// typical is an event as most writes make it: created, a document of 170 bytes, one claim.
func typical() events.Event {
	e := samples()["created"]
	e.Claims = []string{mail1}
	e.Document = []byte(`{"name":"Person 00000001, with a name that is long enough to make a document of one hundred and seventy bytes, as many are","email":"person-00000001@example.com"}`)
	return e
}

// An event into the bytes of a record.
func BenchmarkMarshal(b *testing.B) {
	e := typical()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (events.Codec{}).Marshal("t", events.NewMessage(e)); err != nil {
			b.Fatal(err)
		}
	}
}

// An event into the record that is appended.
func BenchmarkRecord(b *testing.B) {
	e := typical()
	b.ReportAllocs()
	for b.Loop() {
		if r := (events.Codec{}).Record("t", events.NewMessage(e)); len(r.Headers) == 0 {
			b.Fatal("got no headers")
		}
	}
}

// The bytes of a record into an event.
func BenchmarkParse(b *testing.B) {
	record, err := events.Codec{}.Marshal("t", events.NewMessage(typical()))
	if err != nil {
		b.Fatal(err)
	}
	stored := storedOf(record)
	b.ReportAllocs()
	for b.Loop() {
		if r := events.Parse(stored); r.Content != events.HasEvent {
			b.Fatalf("got %+v", r)
		}
	}
}

func storedOf(record *sarama.ProducerMessage) events.Stored {
	s := events.Stored{Offset: 1, Timestamp: noon, Value: []byte(record.Value.(sarama.ByteEncoder))}
	for _, h := range record.Headers {
		s.Headers = append(s.Headers, events.Header{Name: string(h.Key), Value: h.Value})
	}
	return s
}

// The verdict on an event whose entity and claim are new, among 10,000 others.
func BenchmarkAdmit(b *testing.B) {
	state := events.NewMemory()
	for i := range 10_000 {
		r := events.Record{Offset: int64(i), Timestamp: noon, Content: events.HasEvent, Event: typical()}
		r.Event.EntityID, r.Event.Claims = fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i), []string{fmt.Sprintf("email:%022d", i)}
		if _, err := state.Take(r); err != nil {
			b.Fatal(err)
		}
	}
	next := events.Record{Offset: 10_000, Timestamp: noon, Content: events.HasEvent, Event: typical()}
	b.ReportAllocs()
	for b.Loop() {
		if v, err := events.Admit(state, next); err != nil || v.Outcome != events.Admitted {
			b.Fatalf("got %+v, %v", v, err)
		}
	}
}

// A document into the JSON that clients read.
func BenchmarkRender(b *testing.B) {
	e := typical()
	at := events.FormatTime(e.Time)
	b.ReportAllocs()
	for b.Loop() {
		document.Render(e.EntityID, 1, at, at, e.Document)
	}
}
