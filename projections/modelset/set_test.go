package modelset_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// A source has events in memory.
type source struct {
	mu     sync.Mutex
	events []sqlmodel.Event
	end    events.Position
	more   chan struct{}
	// held makes Next wait.
	held     bool
	caughtUp chan struct{}
}

// newSource returns a source that has caught up with the log.
func newSource() *source {
	s := newLateSource()
	close(s.caughtUp)
	return s
}

// newLateSource returns a source that has not caught up with the log yet.
func newLateSource() *source {
	return &source{more: make(chan struct{}), caughtUp: make(chan struct{})}
}

func (s *source) CaughtUp() <-chan struct{} { return s.caughtUp }

// add appends an event that creates an entity, and returns its position.
func (s *source) add(collection, document string) events.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end++
	s.events = append(s.events, sqlmodel.Event{Position: s.end, Time: time.Unix(0, 0), Kind: events.Created, Collection: collection, ID: fmt.Sprint("id", s.end), Version: 1, Document: []byte(document)})
	close(s.more)
	s.more = make(chan struct{})
	return s.end
}

func (s *source) Position() events.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

func (s *source) Next(ctx context.Context, after events.Position, max int, wants modelset.Wants) (batch []sqlmodel.Event, to events.Position, err error) {
	for {
		s.mu.Lock()
		more, held := s.more, s.held
		if s.end > after && !held {
			to := min(s.end, after+events.Position(max))
			for _, e := range s.events[after:to] {
				if wanted, _ := wants(e.Collection, e.Kind); wanted {
					batch = append(batch, e)
				}
			}
			s.mu.Unlock()
			return batch, to, nil
		}
		s.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return nil, after, ctx.Err()
		}
	}
}

// hold makes Next wait, until it is called with false.
func (s *source) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	close(s.more)
	s.more = make(chan struct{})
}

// A fixture is a folder of models.
type fixture struct {
	t      *testing.T
	source *source
	folder string
	dir    string
	// declared are the names of the declared collections.
	declared []string
	// batchTime is that of the models. Zero means the default.
	batchTime time.Duration
	close     func()
	*modelset.Set
}

func newFixture(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, source: newSource(), folder: t.TempDir(), dir: t.TempDir(), declared: []string{"a", "b"}}
	for name, text := range files {
		f.write(name, text)
	}
	return f
}

func (f *fixture) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.folder, name+".sql")
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) tryOpen() (*modelset.Set, error) {
	return modelset.Open(f.t.Context(), modelset.Options{Folder: f.folder, Dir: f.dir, Collections: f.declared, Source: f.source, Log: "log", WatchInterval: 5 * time.Millisecond, BatchTime: f.batchTime})
}

// open opens the set until the end of the test, or the next open.
func (f *fixture) open() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := f.tryOpen()
	if err != nil {
		cancel()
		f.t.Fatal(err)
	}
	f.Set = s
	ended := make(chan struct{})
	go func() { _ = s.Run(ctx); close(ended) }()
	stop := sync.OnceFunc(func() {
		cancel()
		<-ended
		if err := s.Close(); err != nil {
			f.t.Errorf("got %v from Close, want no error", err)
		}
	})
	f.t.Cleanup(stop)
	f.close = stop
}

// until waits until what is true.
func (f *fixture) until(what string, is func() bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("got no %s in time; the status is %+v", what, f.status("m"))
		}
	}
}

func (f *fixture) status(name string) modelset.Status {
	m, ok := f.Get(name)
	if !ok {
		return modelset.Status{}
	}
	return m.Status()
}

func (f *fixture) following(name string, position events.Position) func() bool {
	return func() bool {
		s := f.status(name)
		return s.Serving != nil && s.Serving.State == modelset.Following && s.Serving.Position >= position && s.Building == nil
	}
}

func (f *fixture) stopped(name string) func() bool {
	return func() bool {
		s := f.status(name)
		return s.Serving != nil && s.Serving.State == modelset.Stopped
	}
}

// rows returns the rows of a table or view of a model.
func (f *fixture) rows(name, relation string) string {
	f.t.Helper()
	m, ok := f.Get(name)
	if !ok {
		return "no model"
	}
	tx, release, err := m.Begin(f.t.Context())
	if err != nil {
		return err.Error()
	}
	defer release()
	defer func() { _ = tx.Close() }()
	var all []string
	if err := tx.Query(f.t.Context(), "SELECT * FROM "+relation+" ORDER BY 1", nil, func(row []any) error {
		all = append(all, strings.Trim(fmt.Sprint(row), "[]"))
		return nil
	}); err != nil {
		return err.Error()
	}
	return strings.Join(all, "; ")
}

const (
	counts = "CREATE TABLE t (n INTEGER);\nINSERT INTO t VALUES (0);\n-- on: a.created\nUPDATE t SET n = n + 1;"
	sums   = "CREATE TABLE t (n INTEGER CHECK (n < 100));\nINSERT INTO t VALUES (0);\n-- on: a.created\nUPDATE t SET n = n + (:document ->> 'n');"
)

func TestModelsFollowTheEvents(t *testing.T) {
	f := newFixture(t, map[string]string{"m": sums, "other": "CREATE TABLE t (id TEXT);\n-- on: b.created\nINSERT INTO t VALUES (:id);"})
	f.source.add("a", `{"n":1}`)
	f.open()
	f.source.add("b", `{}`)
	at := f.source.add("a", `{"n":2}`)
	m, _ := f.Get("m")
	f.until("build", f.following("m", 0))
	if err := m.WaitFor(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if got, want := f.rows("m", "t"), "3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.until("position of the other", f.following("other", at))
	if got, want := f.rows("other", "t"), "id2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.close()
	f.source.add("a", `{"n":3}`)
	f.open()
	f.until("position", f.following("m", at+1))
	if got, want := f.rows("m", "t"), "6"; got != want {
		t.Errorf("got %q after a restart, want %q", got, want)
	}
}

// TestAModelIsBuiltFromTheWholeLog checks that a model of a node that is still behind the log is not taken for complete,
// although it has all events of the node.
func TestAModelIsBuiltFromTheWholeLog(t *testing.T) {
	for _, early := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d events before the node catches up", early), func(t *testing.T) {
			f := newFixture(t, map[string]string{"m": counts})
			f.source = newLateSource()
			f.open()
			m, _ := f.Get("m")
			var end events.Position
			for range early {
				end = f.source.add("a", `{}`)
			}
			f.until("position", func() bool { b := f.status("m").Building; return b != nil && b.Position == end })
			if s := f.status("m"); s.Serving != nil || s.Building.State != modelset.Building {
				t.Errorf("got %+v of a node that is behind the log, want a build", s)
			}
			if err := m.WaitFor(t.Context(), end); !errors.Is(err, modelset.ErrBuilding) {
				t.Errorf("got %v for a read, want %v", err, modelset.ErrBuilding)
			}
			close(f.source.caughtUp)
			if err := m.WaitFor(t.Context(), end); err != nil { // at once, and not after the next event
				t.Error(err)
			}
			if got, want := f.rows("m", "t"), fmt.Sprint(early); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			f.until("end", f.following("m", f.source.add("a", `{}`)))
		})
	}
}

func TestAFailingModelStopsAlone(t *testing.T) {
	f := newFixture(t, map[string]string{"m": sums, "other": counts})
	f.open()
	f.source.add("a", `{"n":1}`)
	f.until("build", f.following("m", 1))
	bad := f.source.add("a", `{"n":100}`)
	end := f.source.add("a", `{"n":2}`)
	f.until("stop", f.stopped("m"))
	f.until("the other's position", f.following("other", end))
	s := f.status("m").Serving
	if s.Stopped == nil || s.Stopped.Position != bad || s.Stopped.Line != 4 || !strings.Contains(s.Stopped.Error, "CHECK") || !strings.Contains(s.Stopped.Statement, "UPDATE t") {
		t.Errorf("got %+v, want a stop at position %d with its statement", s.Stopped, bad)
	}
	if got, want := f.rows("m", "t"), "1"; got != want {
		t.Errorf("got %q, want the last good state %q", got, want)
	}
	m, _ := f.Get("m")
	var failed *sqlmodel.EventError
	if err := m.WaitFor(t.Context(), end); !errors.As(err, &failed) {
		t.Errorf("got %v for a position after the stop, want the failure", err)
	}
	if err := m.Retry(); err != nil {
		t.Fatal(err)
	}
	f.until("second stop", f.stopped("m"))

	if _, err := m.Skip(bad + 1); !errors.Is(err, modelset.ErrNotStopped) {
		t.Errorf("got %v for the skip of another event, want %v", err, modelset.ErrNotStopped)
	}
	if _, err := m.Skip(bad); err != nil {
		t.Fatal(err)
	}
	f.until("end", f.following("m", end))
	if got, want := f.rows("m", "t"), "3"; got != want {
		t.Errorf("got %q after the skip, want %q", got, want)
	}
	if err := m.Retry(); !errors.Is(err, modelset.ErrNotStopped) {
		t.Errorf("got %v for a model that follows, want %v", err, modelset.ErrNotStopped)
	}
	// The skip is applied by a rebuild, and shown after a restart.
	if err := m.Rebuild(); err != nil {
		t.Fatal(err)
	}
	f.until("rebuild", f.following("m", end))
	if got, want := f.rows("m", "t"), "3"; got != want {
		t.Errorf("got %q after a rebuild, want %q", got, want)
	}
	f.close()
	f.open()
	if skips := f.status("m").Skips; len(skips) != 1 || skips[0].Position != bad || !strings.Contains(skips[0].Error, "CHECK") {
		t.Errorf("got skips %+v after a restart, want the one at %d", skips, bad)
	}
}

// TestAChangedModelIsBuiltBeside checks that the old model serves until the new one has caught up,
// and that other models are not touched.
func TestAChangedModelIsBuiltBeside(t *testing.T) {
	models := map[string]string{"m": sums}
	for i := range 9 {
		models[fmt.Sprintf("other%d", i)] = counts
	}
	f := newFixture(t, models)
	f.open()
	end := f.source.add("a", `{"n":5}`)
	for name := range models {
		f.until("build of "+name, f.following(name, end))
	}
	files := func() string {
		paths, err := filepath.Glob(filepath.Join(f.dir, "other*.db"))
		if err != nil || len(paths) != 9 {
			t.Fatalf("got %v, %v, want a file for each of the other models", paths, err)
		}
		return strings.Join(paths, " ")
	}
	others := files()

	f.source.hold(true)
	f.write("m", counts)
	f.until("new build", func() bool { return f.status("m").Building != nil })
	if got, want := f.rows("m", "t"), "5"; got != want {
		t.Errorf("got %q during the build, want the old model's %q", got, want)
	}
	f.source.hold(false)
	f.until("swap", func() bool { return f.status("m").Building == nil && f.rows("m", "t") == "1" })
	if got := files(); got != others {
		t.Errorf("got files %s of the other models, want %s", got, others)
	}

	f.write("m", "CREATE TABEL;")
	f.until("mistake", func() bool { return strings.Contains(f.status("m").Mistake, "m.sql:1: near") })
	if got, want := f.rows("m", "t"), "1"; got != want {
		t.Errorf("got %q beside a mistake, want %q", got, want)
	}
	f.write("m", sums)
	f.until("swap back", func() bool { return f.status("m").Mistake == "" && f.rows("m", "t") == "5" })
	if err := os.Remove(filepath.Join(f.folder, "m.sql")); err != nil {
		t.Fatal(err)
	}
	f.until("removal", func() bool { _, ok := f.Get("m"); return !ok })
	f.write("m", counts)
	f.until("return", f.following("m", end))
}

// TestAnInterruptedBuild checks that a restart goes on with a build, and serves the old model
// meanwhile.
func TestAnInterruptedBuild(t *testing.T) {
	f := newFixture(t, map[string]string{"m": sums})
	f.open()
	end := f.source.add("a", `{"n":5}`)
	f.until("build", f.following("m", end))
	f.source.hold(true)
	f.write("m", counts)
	f.until("new build", func() bool { return f.status("m").Building != nil })
	f.close()
	f.open()
	if got, want := f.rows("m", "t"), "5"; got != want {
		t.Errorf("got %q after a restart, want the old model's %q", got, want)
	}
	m, _ := f.Get("m")
	if err := m.Cancel(); err != nil {
		t.Fatal(err)
	}
	if err := m.Cancel(); !errors.Is(err, modelset.ErrNoBuild) {
		t.Errorf("got %v for a second cancel, want %v", err, modelset.ErrNoBuild)
	}
	f.source.hold(false)
	f.close()
	f.open()
	f.until("swap", func() bool { return f.status("m").Building == nil && f.rows("m", "t") == "1" })
}

func TestAMistakeAtTheStart(t *testing.T) {
	f := newFixture(t, map[string]string{"m": sums, "bad": "CREATE TABLE t (x);\nDELETE FROM t;"})
	_, err := modelset.Open(t.Context(), modelset.Options{Folder: f.folder, Dir: f.dir, Collections: f.declared, Source: f.source})
	var m *sqlmodel.MistakeError
	if !errors.As(err, &m) || m.Line != 2 || !strings.HasSuffix(m.File, "bad.sql") {
		t.Errorf("got %v, want a mistake in line 2 of bad.sql", err)
	}
}

func TestAnEmptyLog(t *testing.T) {
	f := newFixture(t, map[string]string{"m": sums})
	f.open()
	f.until("model", f.following("m", 0))
	if got, want := f.rows("m", "t"), "0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnotherLog(t *testing.T) {
	f := newFixture(t, map[string]string{"m": sums})
	f.open()
	f.until("build", f.following("m", f.source.add("a", `{"n":5}`)))
	f.close()
	f.source = newSource()
	s, err := modelset.Open(t.Context(), modelset.Options{Folder: f.folder, Dir: f.dir, Collections: f.declared, Source: f.source, Log: "another"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	m, _ := s.Get("m")
	if got := m.Position(); got != 0 {
		t.Errorf("got position %d of a model of another log, want 0", got)
	}
}

// TestOnlyDeclaredCollectionsReachAModel checks that * does not stand for what the store itself
// keeps in the log, such as API keys, and that no file can name it.
func TestOnlyDeclaredCollectionsReachAModel(t *testing.T) {
	const all = "CREATE TABLE t (n TEXT, doc TEXT);\n"
	for name, on := range map[string]string{"all": "*", "collections": "*.created", "several": "a.created, *.*"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, map[string]string{"m": all + "-- on: " + on + "\nINSERT INTO t VALUES (:collection, :document);"})
			f.source.add("clusterlite_keys", `{"name":"ci","hash":"secret"}`)
			f.source.add("a", `{}`)
			f.open()
			end := f.source.add("clusterlite_keys", `{"name":"ops","hash":"secret"}`)
			f.until("end", f.following("m", end))
			if got, want := f.rows("m", "t"), "a {}"; got != want {
				t.Errorf("got rows %q, want %q", got, want)
			}
		})
	}
	t.Run("by name", func(t *testing.T) {
		f := newFixture(t, map[string]string{"m": all + "-- on: a.created, clusterlite_keys.created\nINSERT INTO t VALUES (:collection, :document);"})
		s, err := f.tryOpen()
		if err == nil {
			err = s.Close()
		}
		var m *sqlmodel.MistakeError
		if !errors.As(err, &m) || m.Line != 2 || !strings.Contains(err.Error(), `no collection "clusterlite_keys" is declared`) {
			t.Errorf("got %v, want a mistake in line 2", err)
		}
	})
}

// TestAnotherSetOfCollections checks that a model with * is built again if it stands for other
// collections than before, and that other models are left alone.
func TestAnotherSetOfCollections(t *testing.T) {
	f := newFixture(t, map[string]string{"m": "CREATE TABLE t (n TEXT);\n-- on: *\nINSERT INTO t VALUES (:collection);", "other": counts})
	f.source.add("a", `{}`)
	f.source.add("b", `{}`)
	end := f.source.add("c", `{}`)
	f.open()
	f.until("build", f.following("m", end))
	f.until("build of the other", f.following("other", end))
	before := f.status("other").Serving.Hash
	f.close()
	f.declared = []string{"a", "c"}
	f.open()
	f.until("build with the other collections", func() bool { return f.following("m", end)() && f.rows("m", "t") == "a; c" })
	if s := f.status("other"); s.Serving == nil || s.Serving.Hash != before || s.Building != nil {
		t.Errorf("got %+v, want the other model as it was", s)
	}
}

// TestSlowStatements checks that a model whose statements take long commits after each of them, and that it
// still stops at the event that fails, and no earlier.
func TestSlowStatements(t *testing.T) {
	f := newFixture(t, map[string]string{"m": sums})
	f.batchTime = time.Nanosecond
	for range 20 {
		f.source.add("a", `{"n":1}`)
		f.source.add("b", `{}`)
	}
	bad := f.source.add("a", `{"n":100}`)
	end := f.source.add("a", `{"n":2}`)
	f.open()
	f.until("stop of the build", func() bool {
		s := f.status("m").Building
		return s != nil && s.Stopped != nil && s.Stopped.Position == bad
	})
	if s := f.status("m").Building; s.Position != bad-1 {
		t.Errorf("got position %d, want %d, before the event that fails", s.Position, bad-1)
	}
	m, _ := f.Get("m")
	if _, err := m.Skip(bad); err != nil {
		t.Fatal(err)
	}
	f.until("end", f.following("m", end))
	if got, want := f.rows("m", "t"), "22"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.source.add("a", `{"n":3}`)
	f.until("next event", f.following("m", f.source.add("a", `{"n":4}`)))
	if got, want := f.rows("m", "t"), "29"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
