package events_test

import (
	"fmt"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// typical returns the event of a typical write: created, with a document of 170 bytes and one claim.
func typical() events.Event {
	return events.Event{
		ID: "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", Source: "/clusterlite/command/cmd-1",
		Collection: "users", EntityID: "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b0000", Kind: events.Created, Version: 1,
		Time: noon, Claims: []string{mail1},
		Document: []byte(`{"name":"Person 00000001, with a name that is long enough to make a document of one hundred and seventy bytes, as many are","email":"person-00000001@example.com"}`),
	}
}

// BenchmarkAdmit measures the verdict on an event whose entity and claim are new, among 10,000
// entities.
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
			b.Fatalf("got %+v, %v, want it admitted", v, err)
		}
	}
}

// BenchmarkRender converts a document to the JSON that clients read.
func BenchmarkRender(b *testing.B) {
	e := typical()
	at := events.FormatTime(e.Time)
	b.ReportAllocs()
	for b.Loop() {
		document.Render(e.EntityID, 1, at, at, e.Document)
	}
}
