package snapshots_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A rig is a log, a node that follows it, and a store.
type rig struct {
	t     *testing.T
	log   *eventlog.Log
	model *servicetest.Model
	place string
	store *snapshots.Store
	end   events.Position
}

func newRig(t *testing.T) *rig {
	log := servicetest.StartBroker(t).OpenLog()
	r := &rig{t: t, log: log, model: servicetest.OpenModel(t, log, servicetest.Collections(t)).Follow(), place: filepath.Join(t.TempDir(), "store")}
	var err error
	if r.store, err = (snapshots.Providers{}).Create(t.Context(), r.place); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	return r
}

// write appends events of new entities and waits until the node has them.
func (r *rig) write(n int) {
	r.t.Helper()
	for range n {
		e := events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: uuid.Must(uuid.NewV7()).String(),
			Kind: events.Created, Version: 1, Time: time.Now().UTC().Truncate(time.Millisecond), Document: []byte(`{"name":"Ada","email":"a@example.com"}`),
		}
		var err error
		if r.end, err = r.log.Append(servicetest.Context(r.t), e); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.model.WaitFor(servicetest.Context(r.t), r.end); err != nil {
		r.t.Fatal(err)
	}
}

// snapshot creates a snapshot and returns its bytes and its manifest.
func (r *rig) snapshot() ([]byte, snapshots.Manifest) {
	r.t.Helper()
	var b bytes.Buffer
	m, err := snapshots.Write(servicetest.Context(r.t), &b, r.model.Projection, r.t.TempDir(), "query-1")
	if err != nil {
		r.t.Fatal(err)
	}
	return b.Bytes(), m
}

func (r *rig) put(b []byte) snapshots.Entry {
	r.t.Helper()
	e, _, err := r.store.Put(servicetest.Context(r.t), bytes.NewReader(b), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// bootstrap starts a node's folder from the places, and returns its position.
func (r *rig) bootstrap(places ...string) (events.Position, error) {
	r.t.Helper()
	dir := r.t.TempDir()
	err := snapshots.Finder{Sources: places, Log: r.log, Logger: slog.New(slog.DiscardHandler)}.Bootstrap(servicetest.Context(r.t), dir)
	left, globErr := filepath.Glob(filepath.Join(dir, "snapshot-*"))
	if globErr != nil || len(left) > 0 {
		r.t.Errorf("got leftovers %v, %v, want none", left, globErr)
	}
	if err != nil {
		return 0, err
	}
	p, err := projections.Open(r.t.Context(), projections.Options{Dir: dir, Log: r.log, Collections: servicetest.Collections(r.t)})
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	return p.Position(), nil
}

func TestASnapshotRoundTrip(t *testing.T) {
	r := newRig(t)
	r.write(3)
	b, m := r.snapshot()
	if m.Position != 3 || m.Topic != "clusterlite.events" || m.TopicID == "" || m.Node != "query-1" || m.Entities["users"] != 3 || len(m.Digests["users"]) != 64 {
		t.Errorf("got manifest %+v, want three users of query-1 at position 3", m)
	}
	e := r.put(b)
	if e.Position != 3 || e.Bytes != int64(len(b)) {
		t.Errorf("got entry %+v, want position 3 and the size of the snapshot", e)
	}
	if got, err := r.store.Manifest(t.Context(), e.Name); err != nil || got.SHA256 != m.SHA256 {
		t.Errorf("got %+v, %v, want the hash of the manifest", got, err)
	}
	r.write(2)
	if p, err := r.bootstrap(r.place); err != nil || p != 3 {
		t.Errorf("from the store: got %d, %v, want 3", p, err)
	}
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != snapshots.Path {
			http.NotFound(w, q)
			return
		}
		if _, err := snapshots.Write(q.Context(), w, r.model.Projection, t.TempDir(), "query-1"); err != nil {
			t.Error(err)
		}
	}))
	defer peer.Close()
	if p, err := r.bootstrap("http://127.0.0.1:1", filepath.Join(t.TempDir(), "empty"), peer.URL, r.place); err != nil || p != 5 {
		t.Errorf("from a peer: got %d, %v, want 5", p, err)
	}
}

// A damaged snapshot is detected, nothing of it is kept, and an older one is used instead.
func TestACorruptSnapshotIsPassedOver(t *testing.T) {
	r := newRig(t)
	r.write(2)
	old, _ := r.snapshot()
	r.put(old)
	r.write(2)
	good, m := r.snapshot()
	line := bytes.IndexByte(good, '\n')
	changed := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	replaced := func(what, with string) []byte { return bytes.Replace(good, []byte(what), []byte(with), 1) }
	for name, b := range map[string][]byte{
		"empty":                    nil,
		"no manifest":              []byte("hello\n"),
		"no end of the manifest":   good[:line],
		"a long line":              bytes.Repeat([]byte("x"), 3<<20),
		"nothing but the manifest": good[:line+1],
		"cut off":                  good[:len(good)-7],
		"a changed byte":           changed(line + (len(good)-line)/2),
		"another hash":             replaced(m.SHA256, strings.Repeat("0", 64)),
		"another size":             replaced(`"size":`, `"size":1`),
		"another digest":           replaced(m.Digests["users"], strings.Repeat("0", 64)),
		"another position":         replaced(`"position":4`, `"position":3`),
		"a newer format":           replaced(`"clusterlite_snapshot":1`, `"clusterlite_snapshot":2`),
	} {
		t.Run(name, func(t *testing.T) {
			// Put checks everything except the content of the file.
			if _, _, err := r.store.Put(servicetest.Context(t), bytes.NewReader(b), nil); err == nil && !strings.HasPrefix(name, "another") {
				t.Error("got no error from Put, want one")
			}
			path := filepath.Join(r.place, r.put(good).Name)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if p, err := r.bootstrap(r.place); err != nil || p != 2 {
				t.Errorf("got %d, %v, want 2", p, err)
			}
		})
	}
}

func TestASnapshotOfAnotherLogIsPassedOver(t *testing.T) {
	r, other := newRig(t), newRig(t)
	other.write(1)
	b, m := other.snapshot()
	r.put(b)
	if _, err := r.bootstrap(r.place); !errors.Is(err, snapshots.ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
	// The snapshot has a name of this log, and another node offers it too.
	r.write(1)
	_, ours := r.snapshot()
	name := "clusterlite-" + ours.TopicID + "-00000000000000000001.snapshot"
	if err := os.WriteFile(filepath.Join(r.place, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }))
	defer peer.Close()
	if _, err := r.bootstrap(r.place, peer.URL); !errors.Is(err, snapshots.ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
	if m.TopicID == ours.TopicID {
		t.Error("got one id for two topics, want two ids")
	}
}

// A snapshot from before the log lost records, which others then replaced, does not match this log
// either, although its positions do.
func TestASnapshotOfOtherRecordsIsPassedOver(t *testing.T) {
	r := newRig(t)
	r.write(2)
	old, _ := r.snapshot()
	r.put(old)
	r.write(2)
	good, _ := r.snapshot()
	r.put(good)
	dir := t.TempDir()
	if err := (snapshots.Finder{Sources: []string{r.place}, Log: r.log, Logger: slog.New(slog.DiscardHandler)}).Bootstrap(servicetest.Context(t), dir); err != nil {
		t.Fatal(err)
	}
	db, err := sqlx.Open("sqlite3", filepath.Join(dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE _checkpoint SET last_record = '3 0 lost'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r.model = servicetest.OpenModelIn(t, dir, r.log, servicetest.Collections(t))
	other, m := r.snapshot()
	if r.put(other); m.Position != 4 {
		t.Errorf("got position %d, want 4", m.Position)
	}
	if p, err := r.bootstrap(r.place); err != nil || p != 2 {
		t.Errorf("got %d, %v, want 2", p, err)
	}
}

func TestListAndPrune(t *testing.T) {
	r := newRig(t)
	for range 4 {
		r.write(1)
		b, _ := r.snapshot()
		r.put(b)
	}
	for _, name := range []string{"clusterlite-x.snapshot", "notes.txt", "clusterlite-00-1.snapshot"} {
		if err := os.WriteFile(filepath.Join(r.place, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := func() (positions []events.Position) {
		all, err := r.store.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			positions = append(positions, e.Position)
		}
		return positions
	}
	if got := list(); len(got) != 4 || got[0] != 4 || got[3] != 1 {
		t.Errorf("got the list %v, want positions from 4 to 1", got)
	}
	if _, err := r.store.Prune(t.Context(), snapshots.Retention{}); err == nil {
		t.Error("got no error for the removal of all snapshots, want one")
	}
	removed, err := r.store.Prune(t.Context(), snapshots.Retention{Keep: 3})
	if err != nil || len(removed) != 1 || removed[0].Position != 1 {
		t.Errorf("got %v removed, %v, want position 1", removed, err)
	}
	if got := list(); len(got) != 3 || got[2] != 2 {
		t.Errorf("got the list %v, want positions from 4 to 2", got)
	}
	if _, err := os.Stat(filepath.Join(r.place, "notes.txt")); err != nil {
		t.Error(err)
	}
}

// A broken reader breaks off with an error.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the line is cut")
	}
	return n, err
}

func TestAnIncompleteSnapshotIsNotStored(t *testing.T) {
	r := newRig(t)
	r.write(1)
	b, _ := r.snapshot()
	_, _, err := r.store.Put(servicetest.Context(t), broken{bytes.NewReader(b[:len(b)/2])}, nil)
	var corrupt *snapshots.CorruptError
	if err == nil || errors.As(err, &corrupt) || !strings.Contains(err.Error(), "the line is cut") {
		t.Errorf("got %v, want the error of the reader", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, _, err := r.store.Put(ctx, bytes.NewReader(b), func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if all, err := r.store.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("got %v, %v, want no snapshots", all, err)
	}
	left, err := os.ReadDir(r.place)
	if err != nil || len(left) > 0 {
		t.Errorf("got %v in the folder, %v, want nothing", left, err)
	}
}

func TestClean(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"snapshot-1.tmp", "snapshot-1.tmp-journal", "projection.db", "lock"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := snapshots.Clean(dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("got %v, %v, want two files left", left, err)
	}
}

func TestNoSuchStore(t *testing.T) {
	for _, place := range []string{"ftp://host/x", "/dev/null/x"} {
		if s, err := (snapshots.Providers{}).Open(t.Context(), place); err == nil {
			_ = s.Close()
			t.Errorf("%s: got a store, want an error", place)
		}
	}
}
