package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/archive"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// admitted returns the admitted events of a log.
func admitted(t testing.TB, s *store) (all []events.Event) {
	t.Helper()
	state := events.NewMemory()
	for _, r := range s.records() {
		v, err := state.Take(r)
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome == events.Admitted {
			all = append(all, r.Event)
		}
	}
	return all
}

// same fails the test if two logs do not hold the same admitted events.
func same(t testing.TB, from, to *store) {
	t.Helper()
	if diff := cmp.Diff(admitted(t, from), admitted(t, to)); diff != "" {
		t.Errorf("the logs differ (-from +to):\n%s", diff)
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	from, to := newStore(t).holds(few()...), newStore(t)
	if _, err := from.Barrier(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	exact := user(5, events.Created, 1, 5)
	exact.Document = []byte("{\"z\":1.50e+2, \"a\":12345678901234567890,\"s\":\"\\u00e9 \u2028\"}")
	exact.Actor = "auth0|ada"
	exact.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	from.raw(&kgo.Record{Value: []byte("rubbish")}).holds(
		user(4, events.Created, 1, 0), // void: the entity exists
		exact,                         //
		func() events.Event {
			e := few()[0]
			e.ID = user(6, events.Created, 1, 6).ID
			e.EntityID = entity(6)
			return e
		}(), // void: the key was used
	)
	foreign := user(7, events.Created, 1, 7)
	foreign.Document = []byte("{\n  \"name\": \"n\"\n}\n")
	from.holds(foreign, user(8, events.Restored, 3, 1))
	for _, name := range []string{"a.jsonl", "a.jsonl.gz", "a.jsonl.zst"} {
		t.Run(name, func(t *testing.T) {
			to := newStore(t)
			path, done := from.export(name)
			if done.Events != 7 || done.Left != 4 || done.KeysLeft != 0 || done.Position != from.end() {
				t.Errorf("got the export %+v, want 7 events and 4 records left out", done)
			}
			got := to.imported(path)
			if got.Appended != 7 || got.Found != 0 || got.Built.Position != 7 || !cmp.Equal(got.Trailer, done.Trailer) {
				t.Errorf("got the import %+v, want 7 appended events", got)
			}
			same(t, from, to)
		})
	}
	// The same log yields the same archive, and an imported log exports the same events.
	first, _ := from.export("b.jsonl")
	second, _ := from.export("b.jsonl")
	to.imported(first)
	third, _ := to.export("b.jsonl")
	if a, b := read(t, first), read(t, second); !bytes.Equal(a, b) {
		t.Errorf("a second export of the same log: got\n%[2]s\nwant\n%[1]s", a, b)
	}
	if a, b := lines(read(t, first)), lines(read(t, third)); !slices.Equal(a[1:len(a)-1], b[1:len(b)-1]) {
		t.Errorf("an export of the imported log: got\n%[2]s\nwant the events of\n%[1]s", a, b)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lines(b []byte) []string { return strings.Split(strings.TrimSpace(string(b)), "\n") }

// many returns events of users that do not conflict.
func many(n int) []events.Event {
	all := make([]events.Event, n)
	for i := range all {
		all[i] = user(i, events.Created, 1, i)
	}
	return all
}

func TestImportContinuesWhereItStopped(t *testing.T) {
	t.Parallel()
	all := few()
	path, _ := newStore(t).holds(all...).export("a.jsonl")
	for n := range len(all) + 1 {
		t.Run(fmt.Sprintf("after %d events", n), func(t *testing.T) {
			t.Parallel()
			to := newStore(t).holds(all[:n]...)
			if got := to.imported(path); got.Found != int64(n) || got.Appended != int64(len(all)-n) || to.end() != events.Position(len(all)) {
				t.Errorf("got %+v, want %d found and %d appended events", got, n, len(all)-n)
			}
		})
	}
	t.Run("after appends of which it never heard", func(t *testing.T) {
		t.Parallel()
		to := newStore(t).holds(all[:3]...).holds(all[1:2]...)
		if _, err := to.Barrier(servicetest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if got := to.imported(path); got.Found != 3 || got.Appended != 1 || to.end() != 6 {
			t.Errorf("got %+v, want 3 found and 1 appended event", got)
		}
	})
	t.Run("after it was stopped", func(t *testing.T) {
		t.Parallel()
		from, to := newStore(t).holds(many(2500)...), newStore(t)
		path, _ := from.export("a.jsonl")
		for stopAt := range 3 {
			ctx, stop := context.WithCancel(servicetest.Context(t))
			appends := 0
			_, err := archive.Import(ctx, archive.ImportOptions{Path: path, Log: to.Log, Progress: func(phase string, _, _ int64, _ string) {
				if phase == "appending" {
					appends++
				}
				if appends > 0 || stopAt == 0 {
					stop()
				}
			}})
			stop()
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped at %d, after %d appends: got %v, want the context's error", stopAt, appends, err)
			}
		}
		to.imported(path)
		same(t, from, to)
	})
}

func TestForeignEventsAreNoticed(t *testing.T) {
	t.Parallel()
	all := few()
	path, _ := newStore(t).holds(all...).export("a.jsonl")
	another := user(9, events.Created, 1, 9)
	changed := all[1]
	changed.Document = []byte(`{"name":"other"}`)
	for name, there := range map[string][]events.Event{
		"something else": {another}, "something between": {all[0], another}, "something changed": {all[0], changed}, "something behind": append(slices.Clone(all), another),
	} {
		to := newStore(t).holds(there...)
		var found *archive.ForeignRecordsError
		if _, err := to.importFile(path); !errors.As(err, &found) || to.end() != events.Position(len(there)) {
			t.Errorf("%s: got %v and an end at %d, want foreign records and an end at %d", name, err, to.end(), len(there))
		} else if !strings.Contains(err.Error(), fmt.Sprintf("offset %d", len(there)-1)) {
			t.Errorf("%s: got %v, want an error with offset %d", name, err, len(there)-1)
		}
	}
}

func TestAnotherWriterIsNoticed(t *testing.T) {
	t.Parallel()
	from := newStore(t).holds(many(2500)...)
	path, _ := from.export("a.jsonl")
	disturbed := func(to *store, by func()) error {
		once := false
		_, err := archive.Import(servicetest.Context(t), archive.ImportOptions{Path: path, Log: to.Log, Progress: func(phase string, _, _ int64, _ string) {
			if phase == "appending" && !once {
				once = true
				by()
			}
		}})
		return err
	}
	t.Run("by an event", func(t *testing.T) {
		to := newStore(t)
		err := disturbed(to, func() { to.holds(user(9999, events.Created, 1, 9999)) })
		var between *archive.ConcurrentWriterError
		if !errors.As(err, &between) || between.Before != 1000 || between.Behind != 2001 {
			t.Fatalf("got %v, want a concurrent writer between 1000 and 2001", err)
		}
		var found *archive.ForeignRecordsError
		if _, err := to.importFile(path); !errors.As(err, &found) || !strings.Contains(err.Error(), "offset 1000 ") {
			t.Errorf("then got %v, want foreign records at offset 1000", err)
		}
	})
	t.Run("by what changes nothing", func(t *testing.T) {
		to := newStore(t)
		err := disturbed(to, func() {
			if _, err := to.Barrier(servicetest.Context(t)); err != nil {
				t.Error(err)
			}
		})
		var between *archive.ConcurrentWriterError
		if !errors.As(err, &between) {
			t.Fatalf("got %v, want a concurrent writer", err)
		}
		if got := to.imported(path); got.Found != 2000 || got.Appended != 500 {
			t.Errorf("then got %+v, want 2000 found and 500 appended events", got)
		}
		same(t, from, to)
	})
}

// A damaged file changes nothing. The import does not even create the topic.
func TestDamagedFilesChangeNothing(t *testing.T) {
	t.Parallel()
	to := newStore(t)
	whole := written(t, few()...)
	var damaged *archive.DamagedError
	for name, content := range map[string][]byte{"cut": whole[:len(whole)-90], "changed": bytes.Replace(whole, []byte("n2"), []byte("n3"), 1), "empty": nil} {
		if _, err := to.importFile(file(t, content)); !errors.As(err, &damaged) {
			t.Errorf("%s: got %v, want a damaged file", name, err)
		}
	}
	for _, extension := range []string{".gz", ".zst"} {
		path, _ := newStore(t).holds(few()...).export("a.jsonl" + extension)
		b := read(t, path)
		for name, content := range map[string][]byte{"cut": b[:len(b)-5], "other": whole} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := to.importFile(path); !errors.As(err, &damaged) {
				t.Errorf("%s %s: got %v, want a damaged file", name, extension, err)
			}
		}
	}
	if _, err := to.importFile("/no/such/file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := to.Describe(servicetest.Context(t)); !errors.Is(err, eventlog.ErrNoTopic) {
		t.Errorf("got %v for the topic, want %v", err, eventlog.ErrNoTopic)
	}
}

func TestDigestsAreCompared(t *testing.T) {
	t.Parallel()
	got, err := newStore(t).importFile(file(t, written(t, few()...))) // its digest is invented
	if err != nil || got.Equal() || got.Digests["users"] == "" {
		t.Errorf("got %+v, %v, want different digests", got, err)
	}
}
