package receipt_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/receipt"
	"github.com/clusterlite/clusterlite/events/wire"
)

// Watermill's publisher uses sarama. Its records must equal those of franz-go.
func TestSaramaRecordsEqualThoseOfFranz(t *testing.T) {
	const id = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"
	created := events.Event{
		ID: id, Source: "/test", Collection: "users", EntityID: id, Kind: events.Created, Version: 1, Time: time.UnixMilli(1),
		IdempotencyKey: "k", RequestHash: "h", TraceParent: "t", Document: []byte(`{"name":"Jörg"}`),
	}
	deleted := created
	deleted.Kind, deleted.Version, deleted.Document = events.Deleted, 2, nil
	encode := func(e sarama.Encoder) []byte {
		if e == nil {
			return nil
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, m := range map[string]*message.Message{
		"created": wire.NewMessage(created), "deleted": wire.NewMessage(deleted),
		"barrier": wire.NewBarrier(id, "/test", created.Time), "checkpoint": wire.NewCheckpoint(id, "/test", created.Time),
	} {
		got, err := receipt.Marshaler{}.Marshal("t", m)
		if err != nil {
			t.Fatal(err)
		}
		want := wire.Record("t", m)
		if got.Topic != want.Topic || len(got.Headers) != len(want.Headers) {
			t.Fatalf("%s: got topic %q and %d headers, want %q and %d", name, got.Topic, len(got.Headers), want.Topic, len(want.Headers))
		}
		for i, h := range want.Headers {
			if string(got.Headers[i].Key) != h.Key || !bytes.Equal(got.Headers[i].Value, h.Value) {
				t.Errorf("%s: got header %s: %s, want %s: %s", name, got.Headers[i].Key, got.Headers[i].Value, h.Key, h.Value)
			}
		}
		key, value := encode(got.Key), encode(got.Value)
		if !bytes.Equal(key, want.Key) || !bytes.Equal(value, want.Value) || (value == nil) != (want.Value == nil) {
			t.Errorf("%s: got key %q and value %q, want %q and %q", name, key, value, want.Key, want.Value)
		}
	}
}
