package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
)

// A golden file, once released, is never written again: it is a shape that lies in
// somebody's log. The flag is for new ones.
var update = flag.Bool("update", false, "write golden files that are missing")

// goldenRecord is a Kafka record as a golden file shows it.
type goldenRecord struct {
	Key     string      `json:"key"`
	Headers [][2]string `json:"headers"`
	Value   *string     `json:"value"`
}

func full() events.Event {
	return events.Event{
		ID: "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", Source: "/clusterlite/command/cmd-1",
		Collection: "users", EntityID: "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b0000", Kind: events.Updated, Version: 3,
		Time:           time.Date(2026, 11, 22, 12, 0, 0, 123_000_000, time.UTC),
		Claims:         []string{"email:AAAAAAAAAAAAAAAAAAAAAA", "phone:BBBBBBBBBBBBBBBBBBBBBB"},
		IdempotencyKey: "order-66", RequestHash: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Document:    []byte(`{"name":"Jörg","email":"j@example.com"}`),
	}
}

func samples() map[string]events.Event {
	created := full()
	created.Kind, created.Version, created.IdempotencyKey, created.RequestHash, created.TraceParent, created.Claims = events.Created, 1, "", "", "", nil
	deleted := full()
	deleted.Kind, deleted.Version, deleted.Claims, deleted.Document = events.Deleted, 4, nil, nil
	return map[string]events.Event{"created": created, "updated": full(), "deleted": deleted}
}

func TestGoldenRecords(t *testing.T) {
	for name, event := range samples() {
		t.Run(name, func(t *testing.T) {
			stored := golden(t, name, events.NewMessage(event))
			read := events.Parse(stored.stored())
			if diff := cmp.Diff(event, read.Event); diff != "" || read.Content != events.HasEvent {
				t.Errorf("the stored record is read as %+v (%s)\n%s", read, read.Malformed, diff)
			}
		})
	}
}

// golden holds what a message is written as against its golden file, and gives what is
// stored there.
func golden(t *testing.T, name string, m *message.Message) (stored goldenRecord) {
	t.Helper()
	record, err := events.Codec{}.Marshal("t", m)
	if err != nil {
		t.Fatal(err)
	}
	sameRecord(t, events.Codec{}.Record("t", m), record)
	if err := json.Unmarshal(goldenFile(t, filepath.Join("testdata", "format-1", name+".json"), show(t, record)), &stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

// sameRecord fails unless franz-go's record and sarama's hold the same.
func sameRecord(t *testing.T, got *kgo.Record, want *sarama.ProducerMessage) {
	t.Helper()
	encoded := func(e sarama.Encoder) []byte {
		if e == nil {
			return nil
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	headers := make([]sarama.RecordHeader, len(got.Headers))
	for i, h := range got.Headers {
		headers[i] = sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value}
	}
	if diff := cmp.Diff(want.Headers, headers); diff != "" || got.Topic != want.Topic {
		t.Errorf("franz-go's record has other headers or another topic than sarama's\n%s", diff)
	}
	if key, value := encoded(want.Key), encoded(want.Value); !bytes.Equal(got.Key, key) || !bytes.Equal(got.Value, value) || (got.Value == nil) != (value == nil) {
		t.Errorf("got key %q and value %q from franz-go's record, want %q and %q", got.Key, got.Value, key, value)
	}
}

// goldenFile holds what is written against a golden file, and gives that.
func goldenFile(t *testing.T, path string, written []byte) (stored []byte) {
	t.Helper()
	stored, err := os.ReadFile(path)
	if os.IsNotExist(err) && *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, written, 0o644); err != nil {
			t.Fatal(err)
		}
		stored = written
	} else if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(stored), string(written)); diff != "" {
		t.Errorf("what is written has changed (-stored +written):\n%s", diff)
	}
	return stored
}

func show(t *testing.T, record *sarama.ProducerMessage) []byte {
	t.Helper()
	var g goldenRecord
	if record.Key != nil {
		key, err := record.Key.Encode()
		if err != nil {
			t.Fatal(err)
		}
		g.Key = string(key)
	}
	for _, h := range record.Headers {
		g.Headers = append(g.Headers, [2]string{string(h.Key), string(h.Value)})
	}
	if record.Value != nil {
		value, err := record.Value.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s := string(value)
		g.Value = &s
	}
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func (g goldenRecord) stored() events.Stored {
	s := events.Stored{Key: []byte(g.Key)}
	for _, h := range g.Headers {
		s.Headers = append(s.Headers, events.Header{Name: h[0], Value: []byte(h[1])})
	}
	if g.Value != nil {
		s.Value = []byte(*g.Value)
	}
	return s
}

// wire is a good record, to be spoilt.
func wire() goldenRecord {
	value := `{"name":"Ada"}`
	return goldenRecord{
		Key: "users/0193a1a0-7c1e-7d2b-9c55-0f6a2a1b0000",
		Headers: [][2]string{
			{"ce_specversion", "1.0"}, {"ce_id", "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"}, {"ce_source", "/x"},
			{"ce_type", "clusterlite.users.created"}, {"ce_subject", "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b0000"},
			{"ce_time", "2026-11-22T12:00:00.000Z"}, {"ce_entityversion", "1"}, {"ce_format", "1"},
			{"ce_claims", "[]"}, {"content-type", "application/json"},
		},
		Value: &value,
	}
}

func (g goldenRecord) with(name, value string) goldenRecord {
	headers := append([][2]string(nil), g.Headers...)
	for i := range headers {
		if headers[i][0] == name {
			headers[i][1] = value
			g.Headers = headers
			return g
		}
	}
	g.Headers = append(headers, [2]string{name, value})
	return g
}

func (g goldenRecord) without(name string) goldenRecord {
	var headers [][2]string
	for _, h := range g.Headers {
		if h[0] != name {
			headers = append(headers, h)
		}
	}
	g.Headers = headers
	return g
}

func (g goldenRecord) twice(name, value string) goldenRecord {
	g.Headers = append(append([][2]string(nil), g.Headers...), [2]string{name, value})
	return g
}

func (g goldenRecord) holding(value string) goldenRecord {
	g.Value = &value
	return g
}

func (g goldenRecord) empty() goldenRecord {
	g.Value = nil
	return g
}

func TestMalformedRecords(t *testing.T) {
	good := wire()
	if r := events.Parse(good.stored()); r.Content != events.HasEvent {
		t.Fatalf("the good record is %+v", r)
	}
	for name, bad := range map[string]goldenRecord{
		"nothing at all":             {},
		"no specversion":             good.without("ce_specversion"),
		"another specversion":        good.with("ce_specversion", "0.3"),
		"no id":                      good.without("ce_id"),
		"id in upper case":           good.with("ce_id", "0193A1A0-7C1E-7D2B-9C55-0F6A2A1B3C4D"),
		"no source":                  good.without("ce_source"),
		"no type":                    good.without("ce_type"),
		"foreign type":               good.with("ce_type", "com.example.created"),
		"unknown verb":               good.with("ce_type", "clusterlite.users.renamed"),
		"collection in upper case":   good.with("ce_type", "clusterlite.Users.created"),
		"collection of SQLite":       good.with("ce_type", "clusterlite.sqlite_x.created"),
		"collection too long":        good.with("ce_type", "clusterlite."+strings.Repeat("a", 64)+".created"),
		"no subject":                 good.without("ce_subject"),
		"subject not a UUID":         good.with("ce_subject", "42"),
		"no time":                    good.without("ce_time"),
		"time without milliseconds":  good.with("ce_time", "2026-11-22T12:00:00Z"),
		"time with a zone":           good.with("ce_time", "2026-11-22T12:00:00.000+01:00"),
		"no version":                 good.without("ce_entityversion"),
		"version zero":               good.with("ce_entityversion", "0"),
		"version with a zero before": good.with("ce_entityversion", "01"),
		"negative version":           good.with("ce_entityversion", "-1"),
		"huge version":               good.with("ce_entityversion", strings.Repeat("9", 30)),
		"created with version 2":     good.with("ce_entityversion", "2"),
		"updated with version 1":     good.with("ce_type", "clusterlite.users.updated"),
		"no format":                  good.without("ce_format"),
		"format not a number":        good.with("ce_format", "one"),
		"format too long":            good.with("ce_format", "9999999999"),
		"no claims":                  good.without("ce_claims"),
		"claims not an array":        good.with("ce_claims", `{"a":1}`),
		"claims null":                good.with("ce_claims", `null`),
		"claim without hash":         good.with("ce_claims", `["email"]`),
		"claim with a short hash":    good.with("ce_claims", `["email:abc"]`),
		"claims not sorted":          good.with("ce_claims", `["b:AAAAAAAAAAAAAAAAAAAAAA","a:AAAAAAAAAAAAAAAAAAAAAA"]`),
		"a claim twice":              good.with("ce_claims", `["a:AAAAAAAAAAAAAAAAAAAAAA","a:AAAAAAAAAAAAAAAAAAAAAA"]`),
		"key without hash":           good.with("ce_idempotencykey", "k"),
		"hash without key":           good.with("ce_requesthash", "h"),
		"key with a space":           good.with("ce_idempotencykey", "a b").with("ce_requesthash", "h"),
		"key too long":               good.with("ce_idempotencykey", strings.Repeat("k", 256)).with("ce_requesthash", "h"),
		"a header twice":             good.twice("ce_type", "clusterlite.users.created"),
		"no content type":            good.without("content-type"),
		"another content type":       good.with("content-type", "text/plain"),
		"no value":                   good.empty(),
		"empty value":                good.holding(""),
		"truncated value":            good.holding(`{"name":`),
		"array":                      good.holding(`[]`),
		"bad UTF-8":                  good.holding("{\"name\":\"\xff\"}"),
		"a server's member":          good.holding(`{"id":"x"}`),
		"a member twice":             good.holding(`{"a":1,"a":2}`),
		"too deep":                   good.holding(strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)),
		"deleted with a value":       good.with("ce_type", "clusterlite.users.deleted").with("ce_entityversion", "2"),
		"deleted with claims":        good.with("ce_type", "clusterlite.users.deleted").with("ce_entityversion", "2").with("ce_claims", `["a:AAAAAAAAAAAAAAAAAAAAAA"]`).empty(),
	} {
		t.Run(name, func(t *testing.T) {
			r := events.Parse(bad.stored())
			if r.Content != events.Malformed || r.Malformed == "" || !reflect.DeepEqual(r.Event, events.Event{}) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// Two records at one offset are told apart, understood or not.
func TestIdentity(t *testing.T) {
	identity := func(g goldenRecord, offset, at int64) string {
		c := g.stored()
		c.Offset, c.Timestamp = offset, time.UnixMilli(at)
		r := events.Parse(c)
		r.Offset, r.Timestamp = c.Offset, c.Timestamp
		return r.Identity()
	}
	const other = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4e"
	seen := map[string]string{}
	for name, is := range map[string]string{
		"an event":              identity(wire(), 7, 1),
		"another event":         identity(wire().with("ce_id", other), 7, 1),
		"later":                 identity(wire(), 7, 2),
		"further on":            identity(wire(), 8, 1),
		"a barrier":             identity(wire().with("ce_id", "b").with("ce_type", "clusterlite.barrier"), 7, 1),
		"another barrier":       identity(wire().with("ce_id", "c").with("ce_type", "clusterlite.barrier"), 7, 1),
		"what is malformed":     identity(wire().with("ce_id", "d"), 7, 1),
		"what is no CloudEvent": identity(goldenRecord{}, 7, 1),
	} {
		if twin, twice := seen[is]; twice {
			t.Errorf("%s and %s are both %q", name, twin, is)
		}
		seen[is] = name
	}
	if a, b := identity(wire(), 7, 1), identity(wire(), 7, 1); a != b {
		t.Errorf("%q and %q", a, b)
	}
}

func TestNewerFormatStopsAReader(t *testing.T) {
	for name, record := range map[string]goldenRecord{
		"an event":   wire().with("ce_format", "2"),
		"a barrier":  wire().with("ce_format", "2").with("ce_type", "clusterlite.barrier"),
		"a new kind": wire().with("ce_format", "999999999").with("ce_type", "clusterlite.users.archived").without("ce_claims"),
	} {
		if r := events.Parse(record.stored()); r.Content != events.NewerFormat || r.Format < 2 {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestBarriers(t *testing.T) {
	const id, source = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", "/clusterlite/command/cmd-1"
	for name, m := range map[string]*message.Message{
		"barrier": events.NewBarrier(id, source, full().Time), "checkpoint": events.NewCheckpoint(id, source, full().Time),
	} {
		stored := golden(t, name, m)
		if stored.Value != nil || stored.Key != "" {
			t.Errorf("%s has a value or a key", name)
		}
		if r := events.Parse(stored.stored()); r.Content != events.Barrier || r.Checkpoint != (name == "checkpoint") {
			t.Errorf("the stored %s is read as %+v", name, r)
		}
		// The mark is a hint: whatever a stranger writes there, a barrier is one.
		for _, mark := range []string{"", "false", "TRUE", "1"} {
			if r := events.Parse(stored.with("ce_checkpoint", mark).stored()); r.Content != events.Barrier || r.Checkpoint {
				t.Errorf("a mark %q is read as %+v", mark, r)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, event := range samples() {
		m := events.NewMessage(event)
		f.Add(m.Metadata["ce_type"], m.Metadata["ce_claims"], m.Metadata["ce_time"], m.Metadata["ce_entityversion"], m.Metadata["ce_format"], m.Metadata["ce_subject"], []byte(event.Document))
	}
	f.Fuzz(func(t *testing.T, kind, claims, at, version, format, subject string, value []byte) {
		g := wire().with("ce_type", kind).with("ce_claims", claims).with("ce_time", at).with("ce_entityversion", version).with("ce_format", format).with("ce_subject", subject).holding(string(value))
		r := events.Parse(g.stored())
		if (r.Content == events.Malformed) != (r.Malformed != "") {
			t.Fatalf("got %+v", r)
		}
		if r.Content != events.HasEvent {
			return
		}
		record, err := events.Codec{}.Marshal("t", events.NewMessage(r.Event))
		if err != nil {
			t.Fatal(err)
		}
		var again goldenRecord
		if err := json.Unmarshal(show(t, record), &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Event, events.Parse(again.stored()).Event); diff != "" {
			t.Fatalf("written and read again it is another:\n%s", diff)
		}
	})
}
