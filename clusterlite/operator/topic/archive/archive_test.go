package archive_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/archive"
	"github.com/clusterlite/clusterlite/events"
)

// A golden file must never be rewritten once it is released. The flag writes only new files.
var update = flag.Bool("update", false, "write golden files that are missing")

const topicID = "2f6f8c1e9d0b4a57a1c3e5f708192a3b"

func entity(n int) string { return fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", n) }

// user returns the nth event of a test. The event is about a user with a unique name.
func user(n int, kind events.Kind, version int64, of int) events.Event {
	e := events.Event{
		ID: fmt.Sprintf("0193a1a0-0000-7000-9000-%012x", n), Source: "/clusterlite/command/cmd-1",
		Collection: "users", EntityID: entity(of), Kind: kind, Version: version,
		Time: time.Date(2026, 11, 22, 12, 0, 0, n%1000*int(time.Millisecond), time.UTC),
	}
	if kind != events.Deleted {
		e.Document = fmt.Appendf(nil, `{"name":"n%d","email":"%[1]d@example.com","score":1.50}`, n)
		e.Claims = []string{fmt.Sprintf("email:%022d", of)}
	}
	return e
}

// few returns events of two users.
func few() []events.Event {
	first := user(0, events.Created, 1, 0)
	first.IdempotencyKey, first.RequestHash = "order-66", "abc"
	return []events.Event{first, user(1, events.Created, 1, 1), user(2, events.Updated, 2, 0), user(3, events.Deleted, 2, 1)}
}

// written returns an archive of events.
func written(t testing.TB, all ...events.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, "clusterlite.events", topicID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := w.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(events.Position(len(all)+2), map[string]string{"users": strings.Repeat("0a", 32)}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(b []byte) (all []events.Event, trailer archive.Trailer, err error) {
	r, err := archive.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, trailer, err
	}
	for {
		e, err := r.Event()
		if errors.Is(err, io.EOF) {
			return all, r.Trailer, nil
		}
		if err != nil {
			return nil, trailer, err
		}
		all = append(all, e)
	}
}

func TestGoldenArchive(t *testing.T) {
	path := filepath.Join("testdata", "version-1.jsonl")
	got := written(t, few()...)
	want, err := os.ReadFile(path)
	if os.IsNotExist(err) && *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
		want = got
	} else if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("got another archive than the stored one (-stored +written):\n%s", diff)
	}
	all, trailer, err := readAll(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(few(), all); diff != "" {
		t.Error(diff)
	}
	if trailer.Events != 4 || trailer.Position != 6 || trailer.TopicID != topicID || len(trailer.Digests) != 1 {
		t.Errorf("got %+v, want the trailer of 4 events at position 6", trailer)
	}
	for line := range bytes.Lines(want) {
		if !json.Valid(line) {
			t.Errorf("got a line that is not JSON: %s", line)
		}
	}
}

func TestEmptyArchive(t *testing.T) {
	if all, trailer, err := readAll(written(t)); err != nil || len(all) != 0 || trailer.Events != 0 {
		t.Errorf("got %v, %+v, %v, want no events", all, trailer, err)
	}
}

// An archive that is truncated anywhere, or in which any byte differs, is rejected.
func TestDamageIsNoticed(t *testing.T) {
	whole := written(t, few()...)
	var damaged *archive.DamagedError
	for n := range whole {
		if _, _, err := readAll(whole[:n]); !errors.As(err, &damaged) {
			t.Fatalf("truncated after %d bytes: got %v, want a damaged file", n, err)
		}
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		if _, _, err := readAll(changed); err == nil {
			t.Fatalf("byte %d differs: got no error, want one", n)
		}
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for name, b := range map[string][]byte{
		"more":       append(bytes.Clone(whole), '\n'),
		"two":        append(bytes.Clone(whole), whole...),
		"a line out": bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[4], lines[5]}, nil),
		"reordered":  bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]}, nil),
		"no header":  bytes.Join(lines[1:], nil),
		"not ours":   []byte("{\"hello\":1}\n"),
		"a long one": append(append(bytes.Clone(lines[0]), bytes.Repeat([]byte("x"), 20<<20)...), '\n'),
	} {
		if _, _, err := readAll(b); !errors.As(err, &damaged) {
			t.Errorf("%s: got %v, want a damaged file", name, err)
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	whole := bytes.Replace(written(t), []byte(`"version":1`), []byte(`"version":2`), 1)
	if _, _, err := readAll(whole); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v, want an error that names version 2", err)
	}
}

type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAFullDiskIsNoticed(t *testing.T) {
	w, err := archive.NewWriter(full{}, "t", topicID)
	if err == nil {
		_, err = w.Finish(0, nil)
	}
	if !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
}

// No input makes a reader panic, and it accepts only what a writer wrote.
func FuzzReader(f *testing.F) {
	f.Add(written(f, few()...))
	f.Add(written(f))
	f.Add([]byte("{\"clusterlite\":\"export\",\"version\":1}\n{\"clusterlite\":\"end\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, trailer, err := readAll(b)
		if err != nil {
			return
		}
		if trailer.Events != int64(len(all)) || len(trailer.SHA256) != 64 {
			t.Errorf("got %d events, %+v, want the same number and a hash", len(all), trailer)
		}
	})
}
