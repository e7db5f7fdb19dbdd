package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// A batch is what one call of Append gets.
type batch struct {
	entries []journal.Entry
	through events.Position
	logTime time.Time
}

// A history makes random batches, and is the model that a journal is compared with.
type history struct {
	random   *rand.Rand
	at       events.Position
	logTime  time.Time
	versions map[events.EntityKey]int64
	deleted  map[events.EntityKey]bool
	keys     []events.EntityKey
	batches  []batch
}

func newHistory(seed uint64) *history {
	return &history{random: rand.New(rand.NewPCG(seed, 1)), logTime: time.UnixMilli(1_700_000_000_000).UTC(), versions: map[events.EntityKey]int64{}, deleted: map[events.EntityKey]bool{}}
}

func (h *history) id() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(h.random.Uint32())
	}
	return uuid.UUID(b).String()
}

// next makes a batch of up to n records, of which some hold no event.
func (h *history) next(n int) batch {
	b := batch{}
	for range 1 + h.random.IntN(n) {
		h.at++
		appended := h.logTime.Add(time.Duration(h.random.IntN(5)-1) * time.Millisecond)
		if appended.After(h.logTime) {
			h.logTime = appended
		}
		if h.random.IntN(5) == 0 {
			continue // a barrier or a void record
		}
		key := events.EntityKey{Collection: []string{"users", "orders"}[h.random.IntN(2)], ID: h.id()}
		if len(h.keys) > 0 && h.random.IntN(3) > 0 {
			key = h.keys[h.random.IntN(min(len(h.keys), 8))]
		} else {
			h.keys = append(h.keys, key)
		}
		h.versions[key]++
		e := events.Event{ID: h.id(), Source: "/clusterlite/command/a", Collection: key.Collection, EntityID: key.ID, Version: h.versions[key], Kind: events.Updated, Time: appended}
		switch {
		case e.Version == 1:
			e.Kind = events.Created
		case h.deleted[key]:
			e.Kind, e.Actor = events.Restored, "auth0|ada"
		case h.random.IntN(4) == 0:
			e.Kind, e.TraceParent = events.Deleted, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		}
		if h.deleted[key] = e.Kind == events.Deleted; !h.deleted[key] {
			e.Document = fmt.Appendf(nil, `{"n":%d,"text":%q}`, h.at, strings.Repeat("x", h.random.IntN(60)))
		}
		b.entries = append(b.entries, journal.Entry{Position: h.at, Appended: appended, LogTime: h.logTime, Event: e})
	}
	b.through, b.logTime = h.at, h.logTime
	h.batches = append(h.batches, b)
	return b
}

// all returns the events up to a position, with the positions of the previous ones.
func (h *history) all(after, until events.Position) (all []journal.Entry) {
	last := map[events.EntityKey]events.Position{}
	for _, b := range h.batches {
		for _, e := range b.entries {
			key := events.EntityKey{Collection: e.Event.Collection, ID: e.Event.EntityID}
			e.Previous, last[key] = last[key], e.Position
			if e.Position > after && e.Position <= until {
				all = append(all, e)
			}
		}
	}
	return all
}

func open(t testing.TB, dir string, at events.Position, logTime time.Time) *journal.Journal {
	t.Helper()
	return openWith(t, journal.Options{Dir: dir, At: at, LogTime: logTime, SegmentBytes: 2000})
}

func openWith(t testing.TB, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func add(t testing.TB, j *journal.Journal, b batch) {
	t.Helper()
	if err := j.Append(slices.Clone(b.entries), b.through, b.logTime); err != nil {
		t.Fatal(err)
	}
}

// plain makes entries comparable.
func plain(e journal.Entry) string {
	b, err := json.Marshal(struct {
		Position, Previous events.Position
		Appended, LogTime  time.Time
		Event              events.Event
		Document           string
	}{e.Position, e.Previous, e.Appended, e.LogTime, e.Event, string(e.Event.Document)})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func read(t testing.TB, j *journal.Journal, after, until events.Position) (got []string, reached events.Position) {
	t.Helper()
	reached, err := j.Each(t.Context(), after, until, func(e *journal.Entry) error {
		got = append(got, plain(*e))
		return nil
	})
	if err != nil {
		t.Fatalf("read from %d to %d: %v", after, until, err)
	}
	return got, reached
}

// check compares everything that a journal has up to a position with the model.
func (h *history) check(t testing.TB, j *journal.Journal, end events.Position) {
	t.Helper()
	if got := j.End(); got != end {
		t.Fatalf("the journal ends at %d, want %d", got, end)
	}
	want := []string(nil)
	all := h.all(0, end)
	for _, e := range all {
		want = append(want, plain(e))
	}
	got, reached := read(t, j, 0, end+100)
	if !reflect.DeepEqual(got, want) || reached != end {
		t.Fatalf("read up to %d: got %d events up to %d, want %d up to %d\n got %s\nwant %s", end, len(got), reached, len(want), end, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	at := map[events.EntityKey][]journal.Entry{}
	for _, e := range all {
		key := events.EntityKey{Collection: e.Event.Collection, ID: e.Event.EntityID}
		at[key] = append(at[key], e)
	}
	for key := range h.versions {
		chain := at[key]
		for range 3 {
			upTo := events.Position(h.random.IntN(int(end) + 2))
			var want string
			for _, e := range chain {
				if e.Position <= upTo {
					want = plain(e)
				}
			}
			e, err := j.Newest(key.Collection, key.ID, upTo)
			if want == "" {
				if !errors.Is(err, journal.ErrNotFound) {
					t.Fatalf("newest of %v up to %d: got %v, want ErrNotFound", key, upTo, err)
				}
			} else if err != nil || plain(e) != want {
				t.Fatalf("newest of %v up to %d: got %s, %v, want %s", key, upTo, plain(e), err, want)
			}
		}
		version := int64(1 + h.random.IntN(len(chain)+2))
		e, err := j.Version(key.Collection, key.ID, version)
		if version > int64(len(chain)) {
			if !errors.Is(err, journal.ErrNotFound) {
				t.Fatalf("version %d of %v: got %v, want ErrNotFound", version, key, err)
			}
		} else if err != nil || plain(e) != plain(chain[version-1]) {
			t.Fatalf("version %d of %v: got %s, %v, want %s", version, key, plain(e), err, plain(chain[version-1]))
		}
	}
	for range 10 {
		after, until := events.Position(h.random.IntN(int(end)+1)), events.Position(h.random.IntN(int(end)+1))
		want := h.all(after, until)
		got, _ := read(t, j, after, until)
		if len(got) != len(want) || len(got) > 0 && (got[0] != plain(want[0]) || got[len(got)-1] != plain(want[len(want)-1])) {
			t.Fatalf("read from %d to %d: got %d events, want %d", after, until, len(got), len(want))
		}
		e, err := j.At(until)
		if at := h.all(until-1, until); len(at) == 0 {
			if until > 0 && !errors.Is(err, journal.ErrNotFound) {
				t.Fatalf("event at %d: got %v, want ErrNotFound", until, err)
			}
		} else if err != nil || plain(e) != plain(at[0]) {
			t.Fatalf("event at %d: got %s, %v, want %s", until, plain(e), err, plain(at[0]))
		}
		// The state at a time has the events before the first one whose log time is later.
		moment := time.UnixMilli(1_700_000_000_000).Add(time.Duration(h.random.IntN(int(h.logTime.UnixMilli()-1_700_000_000_000)+3)-1) * time.Millisecond)
		p, err := j.Until(moment)
		if err != nil {
			t.Fatal(err)
		}
		var wantEvents int
		for _, e := range all {
			if e.LogTime.After(moment) {
				break
			}
			wantEvents++
		}
		if got := len(h.all(0, p)); got != wantEvents || p > end {
			t.Fatalf("events until %v: got %d, up to position %d of %d, want %d", moment, got, p, end, wantEvents)
		}
	}
}

// A journal equals its model over random batches, rollbacks and restarts.
func TestRandom(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h, dir := newHistory(seed), t.TempDir()
			j := open(t, dir, 0, time.Time{})
			var end events.Position
			var logTime time.Time
			for range 120 {
				b := h.next(12)
				add(t, j, b)
				switch h.random.IntN(8) {
				case 0: // the read model did not commit; the same records come again
					if err := j.Cut(end); err != nil {
						t.Fatal(err)
					}
					h.check(t, j, end)
					add(t, j, b)
				case 1: // killed before the commit
					if err := j.Close(); err != nil {
						t.Fatal(err)
					}
					j = open(t, dir, end, logTime)
					h.check(t, j, end)
					add(t, j, b)
				case 2: // killed after the commit
					if err := j.Close(); err != nil {
						t.Fatal(err)
					}
					j = open(t, dir, b.through, b.logTime)
				}
				if got := j.End(); got > b.through {
					t.Fatalf("published %d before the commit of %d", got, b.through)
				}
				j.Publish(b.through)
				end, logTime = b.through, b.logTime
			}
			h.check(t, j, end)
			if j.Reset() != nil || j.Start() != 0 || j.Damage() != nil {
				t.Errorf("got reset %v, start %d, damage %v, want a complete journal", j.Reset(), j.Start(), j.Damage())
			}
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(files) < 5 {
				t.Errorf("got %d files, %v, want several segments", len(files), err)
			}
			var size int64
			for _, f := range files {
				info, err := os.Stat(f)
				if err != nil {
					t.Fatal(err)
				}
				size += info.Size()
			}
			if got := j.Bytes(); got != size {
				t.Errorf("got %d bytes, want %d", got, size)
			}
		})
	}
}

// However many bytes of the last writes a power loss takes, the journal opens. It holds all events up
// to the read model's position, or it says that it begins there.
func TestCutAtEveryByte(t *testing.T) {
	h, dir := newHistory(42), t.TempDir()
	const segment = 600
	j := openWith(t, journal.Options{Dir: dir, SegmentBytes: segment})
	for range 7 {
		b := h.next(4)
		add(t, j, b)
		j.Publish(b.through)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("got %d files, %v, want at least 2", len(files), err)
	}
	slices.Sort(files)
	copied := filepath.Join(t.TempDir(), "copy")
	middle, last := h.batches[len(h.batches)/2], h.batches[len(h.batches)-1]
	want := map[events.Position][]string{}
	for _, b := range []batch{middle, last} {
		for _, e := range h.all(0, b.through) {
			want[b.through] = append(want[b.through], plain(e))
		}
	}
	for n := range 2 { // in the last file, and in the one before it while the last is missing
		name := files[len(files)-1-n]
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for size := range len(content) + 1 {
			for i, b := range []batch{last, middle} {
				if i == 1 && size%4 != 0 {
					continue
				}
				if err := errors.Join(os.RemoveAll(copied), os.Mkdir(copied, 0o700)); err != nil {
					t.Fatal(err)
				}
				for _, f := range files[:len(files)-1-n] {
					if err := os.Link(f, filepath.Join(copied, filepath.Base(f))); err != nil {
						t.Fatal(err)
					}
				}
				unlink(t, copied)
				if err := os.WriteFile(filepath.Join(copied, filepath.Base(name)), content[:size], 0o600); err != nil {
					t.Fatal(err)
				}
				j, err := journal.Open(journal.Options{Dir: copied, At: b.through, LogTime: b.logTime, SegmentBytes: segment})
				if err != nil {
					t.Fatal(err)
				}
				if j.Reset() == nil {
					if got, _ := read(t, j, 0, b.through); !slices.Equal(got, want[b.through]) {
						t.Fatalf("cut at %d: got %d events up to %d, want %d", size, len(got), b.through, len(want[b.through]))
					}
					if size%50 == 0 {
						h.check(t, j, b.through)
					}
				} else if j.Start() != b.through || j.End() != b.through {
					t.Fatalf("cut at %d: got a journal from %d to %d after %v, want both to be %d", size, j.Start(), j.End(), j.Reset(), b.through)
				}
				if n == 0 && size == len(content) && j.Reset() != nil {
					t.Fatalf("nothing is cut, but the journal starts afresh: %v", j.Reset())
				}
				// It goes on in either case.
				more := batch{through: b.through + 1, logTime: b.logTime}
				add(t, j, more)
				j.Publish(more.through)
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// unlink replaces hard links by copies, since the journal changes its files in place.
func unlink(t testing.TB, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err == nil {
			err = errors.Join(os.Remove(f), os.WriteFile(f, content, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A changed byte anywhere is noticed: when the journal is opened, or when the record is read. Nothing
// wrong is ever returned.
func TestChangedBytes(t *testing.T) {
	h, dir := newHistory(7), t.TempDir()
	j := open(t, dir, 0, time.Time{})
	for range 10 {
		b := h.next(6)
		add(t, j, b)
		j.Publish(b.through)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	last := h.batches[len(h.batches)-1]
	want := map[string]bool{}
	for _, e := range h.all(0, last.through) {
		want[plain(e)] = true
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(content); i += 3 {
			copied := t.TempDir()
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if f == name {
					b[i] ^= 0x40
				}
				if err := os.WriteFile(filepath.Join(copied, filepath.Base(f)), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			j := open(t, copied, last.through, last.logTime)
			seen := 0
			_, err := j.Each(t.Context(), j.Start(), last.through, func(e *journal.Entry) error {
				if !want[plain(*e)] {
					t.Fatalf("byte %d of %s: got %s, which was never written", i, filepath.Base(name), plain(*e))
				}
				seen++
				return nil
			})
			var damaged *journal.DamagedError
			switch {
			case errors.As(err, &damaged):
				if !errors.Is(j.Damage(), err) || !errors.As(j.Append(nil, last.through+1, last.logTime), &damaged) {
					t.Fatalf("byte %d: the journal was found damaged, but does not say so: %v", i, j.Damage())
				}
			case err != nil:
				t.Fatalf("byte %d: got %v, want damage", i, err)
			case j.Start() == 0 && seen != len(want):
				t.Fatalf("byte %d of %s: got %d events, want %d", i, filepath.Base(name), seen, len(want))
			}
			_ = j.Close()
		}
	}
}

// A journal that begins later knows what it does not hold.
func TestBeginsLater(t *testing.T) {
	h := newHistory(3)
	for range 30 {
		h.next(6)
	}
	begin := h.batches[9]
	j := open(t, t.TempDir(), begin.through, begin.logTime)
	if j.Reset() == nil || j.Start() != begin.through {
		t.Fatalf("got %v, start %d, want a journal that begins at %d and says why", j.Reset(), j.Start(), begin.through)
	}
	for _, b := range h.batches[10:] {
		add(t, j, b)
		j.Publish(b.through)
	}
	if _, err := j.Each(t.Context(), begin.through-1, h.at, func(*journal.Entry) error { return nil }); !errors.Is(err, journal.ErrNotHeld) {
		t.Errorf("read from before its start: got %v, want ErrNotHeld", err)
	}
	if _, err := j.At(begin.through); !errors.Is(err, journal.ErrNotHeld) {
		t.Errorf("an event before its start: got %v, want ErrNotHeld", err)
	}
	if _, err := j.Until(begin.logTime.Add(-time.Second)); !errors.Is(err, journal.ErrNotHeld) {
		t.Errorf("a time before its start: got %v, want ErrNotHeld", err)
	}
	newest := map[events.EntityKey]journal.Entry{}
	first := map[events.EntityKey]int64{}
	for _, e := range h.all(begin.through, h.at) {
		key := events.EntityKey{Collection: e.Event.Collection, ID: e.Event.EntityID}
		if newest[key] = e; first[key] == 0 {
			first[key] = e.Event.Version
		}
	}
	for key, version := range h.versions {
		e, err := j.Newest(key.Collection, key.ID, h.at)
		if want, ok := newest[key]; !ok && !errors.Is(err, journal.ErrNotHeld) || ok && (err != nil || e.Event.Version != want.Event.Version) {
			t.Errorf("newest of %v: got version %d, %v, want %d", key, e.Event.Version, err, want.Event.Version)
		}
		for v := int64(1); v <= version; v++ {
			e, err := j.Version(key.Collection, key.ID, v)
			if held := first[key] > 0 && v >= first[key]; held && (err != nil || e.Event.Version != v) || !held && !errors.Is(err, journal.ErrNotHeld) {
				t.Errorf("version %d of %v, held from %d: got version %d, %v", v, key, first[key], e.Event.Version, err)
			}
		}
	}
}

// Readers see a growing journal without gaps, also while the writer cuts off what it did not
// publish.
func TestReadersBesideTheWriter(t *testing.T) {
	h := newHistory(11)
	j := open(t, t.TempDir(), 0, time.Time{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const readers = 3
	done := make(chan int, readers)
	for range readers {
		go func() {
			var at events.Position
			seen := 0
			for {
				var err error
				last := ctx.Err() != nil
				at, err = j.Each(t.Context(), at, 1<<40, func(e *journal.Entry) error {
					seen++
					if found, err := j.Newest(e.Event.Collection, e.Event.EntityID, e.Position); err != nil || found.Position != e.Position {
						return fmt.Errorf("newest up to %d: got %d, %w", e.Position, found.Position, err)
					}
					return nil
				})
				if err != nil {
					t.Errorf("read: %v", err)
				}
				if err != nil || last {
					done <- seen
					return
				}
			}
		}()
	}
	var end events.Position
	for range 300 {
		b := h.next(12)
		add(t, j, b)
		if h.random.IntN(3) == 0 {
			if err := j.Cut(end); err != nil {
				t.Fatal(err)
			}
			add(t, j, b)
		}
		j.Publish(b.through)
		end = b.through
	}
	stop()
	for range readers {
		if got, want := <-done, len(h.all(0, end)); got != want {
			t.Errorf("a reader saw %d events, want %d", got, want)
		}
	}
}

// Finding a version takes a logarithmic number of steps.
func BenchmarkVersion(b *testing.B) {
	j, err := journal.Open(journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	id, now := uuid.NewString(), time.Now()
	const versions = 100_000
	for v := int64(1); v <= versions; v++ {
		kind := events.Updated
		if v == 1 {
			kind = events.Created
		}
		e := journal.Entry{Position: events.Position(v), Appended: now, LogTime: now, Event: events.Event{ID: id, Collection: "users", EntityID: id, Version: v, Kind: kind, Time: now, Document: []byte(`{}`)}}
		if err := j.Append([]journal.Entry{e}, e.Position, now); err != nil {
			b.Fatal(err)
		}
	}
	j.Publish(versions)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Version("users", id, 1+rand.Int64N(versions)); err != nil {
			b.Fatal(err)
		}
	}
}

// The cost of reading events in the order of the log.
func BenchmarkEach(b *testing.B) {
	j, err := journal.Open(journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	const count = 100_000
	now, document := time.Now(), []byte(`{"name":"Ada Lovelace","email":"ada@example.com","about":"`+strings.Repeat("x", 110)+`"}`)
	var batch []journal.Entry
	for p := events.Position(1); p <= count; p++ {
		batch = append(batch, journal.Entry{Position: p, Appended: now, LogTime: now, Event: events.Event{
			ID: uuid.NewString(), Source: "/node/1", Collection: "users", EntityID: uuid.NewString(), Version: 1, Kind: events.Created, Time: now, Document: document,
		}})
	}
	if err := j.Append(batch, count, now); err != nil {
		b.Fatal(err)
	}
	j.Publish(count)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Each(b.Context(), 0, count, func(*journal.Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/event")
}

// The cost of one event in a batch of a thousand.
func BenchmarkAppend(b *testing.B) {
	for name, updates := range map[string]bool{"creates": false, "updates": true} {
		b.Run(name, func(b *testing.B) {
			j, err := journal.Open(journal.Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			const batch = 1000
			ids := make([]string, batch)
			for i := range ids {
				ids[i] = uuid.NewString()
			}
			now := time.Now()
			document := []byte(`{"name":"` + strings.Repeat("x", 150) + `"}`)
			entries := make([]journal.Entry, 0, batch)
			at, version := events.Position(0), int64(0)
			b.ReportAllocs()
			for b.Loop() {
				at++
				i := int(at) % batch
				id, kind := ids[i], events.Created
				if v := int64(at-1)/batch + 1; updates && v > 1 {
					version, kind = v, events.Updated
				} else {
					version = 1
				}
				if !updates {
					id = uuid.NewString()
				}
				entries = append(entries, journal.Entry{Position: at, Appended: now, LogTime: now, Event: events.Event{ID: ids[0], Source: "/clusterlite/command/a", Collection: "users", EntityID: id, Version: version, Kind: kind, Time: now, Document: document}})
				if len(entries) == batch {
					if err := j.Append(entries, at, now); err != nil {
						b.Fatal(err)
					}
					j.Publish(at)
					entries = entries[:0]
				}
			}
		})
	}
}

// Check counts the events of a sound journal.
func TestCheck(t *testing.T) {
	h := newHistory(5)
	j := open(t, t.TempDir(), 0, time.Time{})
	for range 40 {
		b := h.next(8)
		add(t, j, b)
		j.Publish(b.through)
	}
	want := map[string]int64{}
	for key, versions := range h.versions {
		want[key.Collection] += versions
	}
	if got, err := j.Check(t.Context(), j.End()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// Check finds an event that names no previous one although its version says that there is one.
func TestCheckFindsAGap(t *testing.T) {
	h := newHistory(5)
	j := open(t, t.TempDir(), 0, time.Time{})
	b := h.next(8)
	for len(b.entries) == 0 {
		b = h.next(8)
	}
	b.entries[0].Event.Version = 3
	add(t, j, b)
	j.Publish(b.through)
	var damaged *journal.DamagedError
	if _, err := j.Check(t.Context(), j.End()); !errors.As(err, &damaged) || j.Damage() == nil {
		t.Errorf("got %v, want damage", err)
	}
}
