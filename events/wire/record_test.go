package wire_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// A released golden file must never change, because users' logs contain records of this shape. The
// flag is for new files.
var update = flag.Bool("update", false, "write golden files that are missing")

// goldenRecord is a Kafka record in the form of a golden file.
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
	byAda, byKey := full(), deleted
	byAda.Actor, byKey.Actor = "auth0|ada@example.com", "clk_7f3k2m9q"
	restored := byAda
	restored.Kind, restored.Version = events.Restored, 5
	return map[string]events.Event{"created": created, "updated": full(), "deleted": deleted, "updated-by": byAda, "deleted-by": byKey, "restored": restored}
}

func TestGoldenRecords(t *testing.T) {
	for name, event := range samples() {
		t.Run(name, func(t *testing.T) {
			stored := golden(t, fmt.Sprintf("format-%d", event.Kind.Format()), name, wire.NewMessage(event))
			read := wire.Parse(stored.stored())
			if diff := cmp.Diff(event, read.Event); diff != "" || read.Content != events.HasEvent {
				t.Errorf("got %+v (%s) from the stored record, want the sample (-want +got):\n%s", read, read.Malformed, diff)
			}
		})
	}
}

// golden compares the record of a message with its golden file, and returns the stored record.
func golden(t *testing.T, folder, name string, m *message.Message) (stored goldenRecord) {
	t.Helper()
	record := wire.Record("t", m)
	if record.Topic != "t" {
		t.Errorf("got topic %q, want t", record.Topic)
	}
	if err := json.Unmarshal(goldenFile(t, filepath.Join("..", "testdata", folder, name+".json"), show(t, record)), &stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

// goldenFile compares what was written with a golden file, and returns the file's content.
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
		t.Errorf("got another result than in the golden file (-want +got):\n%s", diff)
	}
	return stored
}

func show(t *testing.T, record *kgo.Record) []byte {
	t.Helper()
	g := goldenRecord{Key: string(record.Key)}
	for _, h := range record.Headers {
		g.Headers = append(g.Headers, [2]string{h.Key, string(h.Value)})
	}
	if record.Value != nil {
		s := string(record.Value)
		g.Value = &s
	}
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func (g goldenRecord) stored() wire.Stored {
	s := wire.Stored{Key: []byte(g.Key)}
	for _, h := range g.Headers {
		s.Headers = append(s.Headers, wire.Header{Name: h[0], Value: []byte(h[1])})
	}
	if g.Value != nil {
		s.Value = []byte(*g.Value)
	}
	return s
}

// good returns a valid record, which tests then make invalid.
func good() goldenRecord {
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
	ok := good()
	if r := wire.Parse(ok.stored()); r.Content != events.HasEvent {
		t.Fatalf("got %+v from the good record, want an event", r)
	}
	for name, bad := range map[string]goldenRecord{
		"nothing at all":             {},
		"no specversion":             ok.without("ce_specversion"),
		"another specversion":        ok.with("ce_specversion", "0.3"),
		"no id":                      ok.without("ce_id"),
		"id in upper case":           ok.with("ce_id", "0193A1A0-7C1E-7D2B-9C55-0F6A2A1B3C4D"),
		"no source":                  ok.without("ce_source"),
		"no type":                    ok.without("ce_type"),
		"foreign type":               ok.with("ce_type", "com.example.created"),
		"unknown verb":               ok.with("ce_type", "clusterlite.users.renamed"),
		"collection in upper case":   ok.with("ce_type", "clusterlite.Users.created"),
		"collection of SQLite":       ok.with("ce_type", "clusterlite.sqlite_x.created"),
		"collection too long":        ok.with("ce_type", "clusterlite."+strings.Repeat("a", 64)+".created"),
		"no subject":                 ok.without("ce_subject"),
		"subject not a UUID":         ok.with("ce_subject", "42"),
		"no time":                    ok.without("ce_time"),
		"time without milliseconds":  ok.with("ce_time", "2026-11-22T12:00:00Z"),
		"time with a zone":           ok.with("ce_time", "2026-11-22T12:00:00.000+01:00"),
		"no version":                 ok.without("ce_entityversion"),
		"version zero":               ok.with("ce_entityversion", "0"),
		"version with a zero before": ok.with("ce_entityversion", "01"),
		"negative version":           ok.with("ce_entityversion", "-1"),
		"huge version":               ok.with("ce_entityversion", strings.Repeat("9", 30)),
		"created with version 2":     ok.with("ce_entityversion", "2"),
		"updated with version 1":     ok.with("ce_type", "clusterlite.users.updated"),
		"no format":                  ok.without("ce_format"),
		"format not a number":        ok.with("ce_format", "one"),
		"format too long":            ok.with("ce_format", "9999999999"),
		"no claims":                  ok.without("ce_claims"),
		"claims not an array":        ok.with("ce_claims", `{"a":1}`),
		"claims null":                ok.with("ce_claims", `null`),
		"claim without hash":         ok.with("ce_claims", `["email"]`),
		"claim with a short hash":    ok.with("ce_claims", `["email:abc"]`),
		"claims not sorted":          ok.with("ce_claims", `["b:AAAAAAAAAAAAAAAAAAAAAA","a:AAAAAAAAAAAAAAAAAAAAAA"]`),
		"a claim twice":              ok.with("ce_claims", `["a:AAAAAAAAAAAAAAAAAAAAAA","a:AAAAAAAAAAAAAAAAAAAAAA"]`),
		"key without hash":           ok.with("ce_idempotencykey", "k"),
		"hash without key":           ok.with("ce_requesthash", "h"),
		"key with a space":           ok.with("ce_idempotencykey", "a b").with("ce_requesthash", "h"),
		"key too long":               ok.with("ce_idempotencykey", strings.Repeat("k", 256)).with("ce_requesthash", "h"),
		"a header twice":             ok.twice("ce_type", "clusterlite.users.created"),
		"no content type":            ok.without("content-type"),
		"another content type":       ok.with("content-type", "text/plain"),
		"no value":                   ok.empty(),
		"empty value":                ok.holding(""),
		"truncated value":            ok.holding(`{"name":`),
		"array":                      ok.holding(`[]`),
		"bad UTF-8":                  ok.holding("{\"name\":\"\xff\"}"),
		"a server's member":          ok.holding(`{"id":"x"}`),
		"a member twice":             ok.holding(`{"a":1,"a":2}`),
		"too deep":                   ok.holding(strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)),
		"deleted with a value":       ok.with("ce_type", "clusterlite.users.deleted").with("ce_entityversion", "2"),
		"deleted with claims":        ok.with("ce_type", "clusterlite.users.deleted").with("ce_entityversion", "2").with("ce_claims", `["a:AAAAAAAAAAAAAAAAAAAAAA"]`).empty(),
	} {
		t.Run(name, func(t *testing.T) {
			r := wire.Parse(bad.stored())
			if r.Content != events.Malformed || r.Malformed == "" || !reflect.DeepEqual(r.Event, events.Event{}) {
				t.Errorf("got %+v, want it malformed, with a reason and no event", r)
			}
		})
	}
}

// Versions that do not know the actor ignore its header. So no value of it may change the verdict
// on a record: an invalid one is ignored.
func TestAnInvalidActorIsIgnored(t *testing.T) {
	for actor, want := range map[string]string{
		"ada": "ada", "Zoë 🙂": "Zoë 🙂", "�": "�", strings.Repeat("x", 2048): strings.Repeat("x", 2048),
		"": "", strings.Repeat("x", 2049): "", "a\nb": "", "a\x00b": "", "a\u0085": "", "bad \xff": "",
	} {
		r := wire.Parse(good().with("ce_actor", actor).stored())
		if r.Content != events.HasEvent || r.Event.Actor != want {
			t.Errorf("%.20q: got content %d and actor %.20q, want an event of %.20q", actor, r.Content, r.Event.Actor, want)
		}
	}
	if r := wire.Parse(good().twice("ce_actor", "ada").twice("ce_actor", "eve").stored()); r.Content != events.Malformed {
		t.Errorf("two actors: got content %d, want a malformed record", r.Content)
	}
}

// Two different records at one offset have different identities, whether they are valid or not.
func TestIdentity(t *testing.T) {
	identity := func(g goldenRecord, offset, at int64) string {
		c := g.stored()
		c.Offset, c.Timestamp = offset, time.UnixMilli(at)
		r := wire.Parse(c)
		r.Offset, r.Timestamp = c.Offset, c.Timestamp
		return r.Identity()
	}
	const other = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4e"
	seen := map[string]string{}
	for name, is := range map[string]string{
		"an event":              identity(good(), 7, 1),
		"another event":         identity(good().with("ce_id", other), 7, 1),
		"later":                 identity(good(), 7, 2),
		"further on":            identity(good(), 8, 1),
		"a barrier":             identity(good().with("ce_id", "b").with("ce_type", "clusterlite.barrier"), 7, 1),
		"another barrier":       identity(good().with("ce_id", "c").with("ce_type", "clusterlite.barrier"), 7, 1),
		"what is malformed":     identity(good().with("ce_id", "d"), 7, 1),
		"what is no CloudEvent": identity(goldenRecord{}, 7, 1),
	} {
		if twin, twice := seen[is]; twice {
			t.Errorf("%s and %s: got the same identity %q, want different ones", name, twin, is)
		}
		seen[is] = name
	}
	if a, b := identity(good(), 7, 1), identity(good(), 7, 1); a != b {
		t.Errorf("one record: got the identities %q and %q, want the same", a, b)
	}
}

func TestNewerFormatStopsAReader(t *testing.T) {
	for name, record := range map[string]goldenRecord{
		"an event":   good().with("ce_format", "3"),
		"a barrier":  good().with("ce_format", "3").with("ce_type", "clusterlite.barrier"),
		"a new kind": good().with("ce_format", "999999999").with("ce_type", "clusterlite.users.archived").without("ce_claims"),
	} {
		if r := wire.Parse(record.stored()); r.Content != events.NewerFormat || r.Format < 3 {
			t.Errorf("%s: got %+v, want a newer format", name, r)
		}
	}
}

// Each type of event has one format, so that versions that know only format 1 either understand a
// record as this version does, or stop before it.
func TestFormatsOfTypes(t *testing.T) {
	restored := func(format string) goldenRecord {
		return good().with("ce_type", "clusterlite.users.restored").with("ce_entityversion", "3").with("ce_format", format)
	}
	for name, c := range map[string]struct {
		record goldenRecord
		says   string // empty if the record is an event
	}{
		"restored in format 1": {restored("1"), `unknown type "clusterlite.users.restored"`},
		"restored in format 2": {restored("2"), ""},
		"created in format 2":  {good().with("ce_format", "2"), "ce_format is 2, but events of type created have format 1"},
		"unknown in format 2":  {good().with("ce_format", "2").with("ce_type", "clusterlite.users.archived"), "unknown type"},
		"restored, version 1":  {restored("2").with("ce_entityversion", "1"), "can't create version 1"},
		"restored, no value":   {restored("2").holding(""), "value"},
	} {
		r := wire.Parse(c.record.stored())
		if (r.Content == events.HasEvent) != (c.says == "") || !strings.Contains(r.Malformed, c.says) {
			t.Errorf("%s: got %+v, want %q", name, r, c.says)
		}
	}
}

func TestBarriers(t *testing.T) {
	const id, source = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", "/clusterlite/command/cmd-1"
	for name, m := range map[string]*message.Message{
		"barrier": wire.NewBarrier(id, source, full().Time), "checkpoint": wire.NewCheckpoint(id, source, full().Time),
	} {
		stored := golden(t, "format-1", name, m)
		if stored.Value != nil || stored.Key != "" {
			t.Errorf("%s: got a value or the key %q, want neither", name, stored.Key)
		}
		if r := wire.Parse(stored.stored()); r.Content != events.Barrier || r.Checkpoint != (name == "checkpoint") {
			t.Errorf("got %+v from the stored %s, want a barrier", r, name)
		}
		// The mark is only a hint. Any value of it leaves the record a barrier.
		for _, mark := range []string{"", "false", "TRUE", "1"} {
			if r := wire.Parse(stored.with("ce_checkpoint", mark).stored()); r.Content != events.Barrier || r.Checkpoint {
				t.Errorf("a mark %q: got %+v, want a barrier that is not a checkpoint", mark, r)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, event := range samples() {
		m := wire.NewMessage(event)
		f.Add(m.Metadata["ce_type"], m.Metadata["ce_claims"], m.Metadata["ce_time"], m.Metadata["ce_entityversion"], m.Metadata["ce_format"], m.Metadata["ce_subject"], m.Metadata["ce_actor"], []byte(event.Document))
	}
	f.Fuzz(func(t *testing.T, kind, claims, at, version, format, subject, actor string, value []byte) {
		g := good().with("ce_type", kind).with("ce_claims", claims).with("ce_time", at).with("ce_entityversion", version).with("ce_format", format).with("ce_subject", subject).with("ce_actor", actor).holding(string(value))
		r := wire.Parse(g.stored())
		if (r.Content == events.Malformed) != (r.Malformed != "") {
			t.Fatalf("got %+v, want a reason if and only if it is malformed", r)
		}
		if r.Content != events.HasEvent {
			return
		}
		var again goldenRecord
		if err := json.Unmarshal(show(t, wire.Record("t", wire.NewMessage(r.Event))), &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Event, wire.Parse(again.stored()).Event); diff != "" {
			t.Fatalf("got a different event after writing and reading (-want +got):\n%s", diff)
		}
	})
}
