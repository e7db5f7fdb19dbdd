package reindex_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/reindex"
	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/verdicts"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// A store is a log with a read model, and collections whose definitions change.
type store struct {
	t     testing.TB
	log   *eventlog.Log
	model *servicetest.Model
}

func newStore(t testing.TB) store {
	t.Helper()
	log := servicetest.StartBroker(t).OpenLog()
	return store{t, log, servicetest.OpenModel(t, log, &collections.Set{}).Follow()}
}

// define returns a collection with the properties in the text of a schema.
func define(t testing.TB, name, properties string) *collections.Collection {
	t.Helper()
	dir := t.TempDir()
	schema := fmt.Sprintf(`{"title":%q,"type":"object","properties":{%s}}`, name, properties)
	if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := set.Get(name)
	return c
}

// written returns the event of a write through a command service with this definition.
func written(c *collections.Collection, id string, version int64, doc string) events.Event {
	d, err := document.Parse([]byte(doc))
	if err != nil {
		panic(err)
	}
	e := events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: c.Name(), EntityID: id, Kind: events.Updated,
		Version: version, Time: time.Now(), Document: d.Bytes(), Claims: c.Claims(d.Value()),
	}
	if version == 1 {
		e.Kind = events.Created
	}
	return e
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// append appends events and returns their verdicts.
func (s store) append(batch ...events.Event) []events.Verdict {
	s.t.Helper()
	expected := make([]*verdicts.Expectation, len(batch))
	for i, e := range batch {
		expected[i] = s.model.Expect(e.ID)
		defer expected[i].Forget()
	}
	if _, err := s.log.Append(servicetest.Context(s.t), batch...); err != nil {
		s.t.Fatal(err)
	}
	result := make([]events.Verdict, len(batch))
	for i, x := range expected {
		select {
		case <-x.Known():
			j, _ := x.Judgement()
			result[i] = j.Verdict
		case <-servicetest.Context(s.t).Done():
			s.t.Fatal("got no verdict")
		}
	}
	return result
}

// created creates entities and returns their ids.
func (s store) created(c *collections.Collection, docs ...string) (ids []string) {
	s.t.Helper()
	var batch []events.Event
	for _, doc := range docs {
		id := newID()
		ids, batch = append(ids, id), append(batch, written(c, id, 1, doc))
	}
	s.append(batch...)
	return ids
}

func (s store) run(c *collections.Collection, change ...func(*reindex.Reindex)) (reindex.Report, error) {
	s.t.Helper()
	r := &reindex.Reindex{Log: s.log, Model: s.model.Projection, Collection: c, Dir: s.t.TempDir(), Source: "/clusterlite/reindex/test", Wait: time.Minute}
	for _, f := range change {
		f(r)
	}
	return r.Run(servicetest.Context(s.t))
}

func (s store) mustRun(c *collections.Collection, change ...func(*reindex.Reindex)) reindex.Report {
	s.t.Helper()
	report, err := s.run(c, change...)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

func (s store) end() events.Position {
	s.t.Helper()
	end, err := s.log.End(servicetest.Context(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	return end
}

// entities returns the living entities by id.
func (s store) entities(collection string) map[string]events.Entity {
	s.t.Helper()
	snapshot, err := s.model.BeginRead(servicetest.Context(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]events.Entity{}
	err = snapshot.Entities(servicetest.Context(s.t), collection, "", func(e events.Entity) error { all[e.ID] = e; return nil })
	if err = errors.Join(err, snapshot.Close()); err != nil {
		s.t.Fatal(err)
	}
	return all
}

func dryRun(r *reindex.Reindex)       { r.DryRun = true }
func skipClashing(r *reindex.Reindex) { r.SkipClashing = true }

const plainCode, uniqueCode, noCaseCode = `"code":{"type":"string"}`, `"code":{"type":"string","x-unique":true}`, `"code":{"type":"string","x-unique":"nocase"}`

func TestANewlyUniqueField(t *testing.T) {
	s := newStore(t)
	before, now := define(t, "things", plainCode), define(t, "things", uniqueCode)
	var docs []string
	for i := range 1201 { // three batches
		docs = append(docs, fmt.Sprintf(`{"code":"c%d","n":{"a":[1.50]}}`, i))
	}
	ids := s.created(before, append(docs, `{}`, `{"code":null}`)...)
	gone := s.created(before, `{"code":"c0"}`)[0]
	s.append(events.Event{ID: newID(), Source: "/test", Collection: "things", EntityID: gone, Kind: events.Deleted, Version: 2, Time: time.Now()})
	end := s.end()

	report := s.mustRun(now, dryRun)
	if report.Entities != 1203 || report.Lacking != 1201 || report.Changed != 0 || len(report.Clashes) != 0 || s.end() != end {
		t.Errorf("a dry run: got %+v and the end of the log %d, want 1201 lacking entities and the end %d", report, s.end(), end)
	}
	report = s.mustRun(now)
	if report.Entities != 1203 || report.Lacking != 0 || report.Changed != 1201 || !slices.Equal(report.Fields, []string{"code"}) {
		t.Errorf("got %+v, want 1201 changed entities", report)
	}
	e := s.entities("things")[ids[7]]
	if d, err := document.Parse(e.Rendered); err != nil || string(d.Bytes()) != docs[7] || e.Version != 2 || !slices.Equal(e.Claims, now.Claims(d.Value())) {
		t.Errorf("got %+v, want the same document in version 2 with its claims", e)
	}
	if v := s.append(written(now, newID(), 1, `{"code":"c7"}`))[0]; v.Reason != events.ReasonTaken || v.Holder != ids[7] {
		t.Errorf("got %+v, want a void because the value is taken by %s", v, ids[7])
	}
	end = s.end()
	if report = s.mustRun(now); report.Changed != 0 || report.Lacking != 0 || s.end() != end {
		t.Errorf("a second run: got %+v and the end of the log %d, want no change and the end %d", report, s.end(), end)
	}
	// In the reverse case, claims that the definition no longer requires are removed.
	if report = s.mustRun(before); report.Changed != 1201 || report.Lacking != 0 {
		t.Errorf("got %+v, want 1201 changed entities", report)
	}
	if v := s.append(written(now, newID(), 1, `{"code":"c7"}`))[0]; v.Outcome != events.Admitted {
		t.Errorf("got %+v, want it admitted: the value is free", v)
	}
}

func TestClashes(t *testing.T) {
	s := newStore(t)
	before, now := define(t, "things", plainCode), define(t, "things", noCaseCode)
	ids := s.created(before, `{"code":"tea"}`, `{"code":"pot"}`, `{"code":"TEA"}`, `{"code":"cup"}`, `{"code":"Pot"}`)
	// The newer of the two already holds the value, because of a write under the new
	// definition.
	s.append(written(now, ids[4], 2, `{"code":"Pot"}`))
	end := s.end()
	want := []reindex.Clash{
		{Field: "code", Value: `"Pot"`, IDs: []string{ids[4], ids[1]}},
		{Field: "code", Value: `"tea"`, IDs: []string{ids[0], ids[2]}},
	}
	check := func(name string, report reindex.Report, changed, lacking int64) {
		t.Helper()
		got := slices.Clone(report.Clashes)
		slices.SortFunc(got, func(a, b reindex.Clash) int { return strings.Compare(a.Value, b.Value) })
		if !reflect.DeepEqual(got, want) || report.Changed != changed || report.Lacking != lacking {
			t.Errorf("%s: got %+v, want clashes %+v, %d changed, %d lacking", name, report, want, changed, lacking)
		}
	}
	check("plain", s.mustRun(now), 0, 4)
	if s.end() != end {
		t.Error("got new records, want none: no clash may be skipped")
	}
	check("skipped", s.mustRun(now, skipClashing), 2, 2)
	end = s.end()
	check("skipped again", s.mustRun(now, skipClashing), 0, 2)
	if s.end() != end {
		t.Error("got new records from a second run, want none")
	}
	s.append(written(now, ids[1], 2, `{"code":"can"}`), written(now, ids[2], 2, `{"code":"jar"}`))
	if report := s.mustRun(now); report.Lacking != 0 || len(report.Clashes) != 0 || report.Changed != 0 {
		t.Errorf("after the repair: got %+v, want nothing to do", report)
	}
}

// Two entities that each hold a claim which the other wants don't block each other.
func TestClaimsThatAreHeldCrosswise(t *testing.T) {
	s := newStore(t)
	now := define(t, "things", `"a":{"type":"string","x-unique":true},"b":{"type":"string","x-unique":true}`)
	one, two := written(now, newID(), 1, `{"a":"1","b":"1"}`), written(now, newID(), 1, `{"a":"2","b":"2"}`)
	// Each entity has claims of an older definition, in which each holds a value of the other.
	one.Claims, two.Claims = []string{one.Claims[0], two.Claims[1]}, []string{two.Claims[0], one.Claims[1]}
	s.append(one, two)
	if report := s.mustRun(now); report.Lacking != 0 || report.Changed == 0 {
		t.Errorf("got %+v, want changes and no lacking entity", report)
	}
}

// Clients write during the run, through command services with the current definition.
func TestWhileOthersWrite(t *testing.T) {
	s := newStore(t)
	before, now := define(t, "things", plainCode), define(t, "things", uniqueCode)
	docs := make([]string, 1500)
	for i := range docs {
		docs[i] = fmt.Sprintf(`{"code":"c%d"}`, i)
	}
	ids := s.created(before, docs...)
	x := &commands.Executor{Log: s.log, Model: s.model.Projection, Source: "/test", Wait: time.Minute}
	var writes atomic.Int64
	write := func() {
		i := writes.Add(1)
		for _, c := range []commands.Command{
			{Action: commands.Patch, Collection: now, ID: ids[int(i*7)%len(ids)], Patch: fmt.Appendf(nil, `{"n":%d}`, i)},
			{Action: commands.Delete, Collection: now, ID: ids[int(i*11)%len(ids)]},
		} {
			var rejection *commands.Rejection
			if _, err := x.Execute(context.Background(), c); err != nil && !errors.As(err, &rejection) {
				t.Error(err)
			}
		}
	}
	// A write between every two batches, to entities that the previous and the next batch
	// change.
	report := s.mustRun(now, func(r *reindex.Reindex) {
		r.Progress = func(what string, done, _ int64) {
			if what == "reindexed" || done%500 == 1 {
				write()
			}
		}
	})
	if report.Lacking != 0 || writes.Load() < 5 {
		t.Errorf("got %+v after %d writes, want no lacking entity after at least 5", report, writes.Load())
	}
	for id, e := range s.entities("things") {
		if len(e.Claims) != 1 {
			t.Errorf("%s: got the claims %v, want one", id, e.Claims)
		}
	}
}

// A command service with the old definition frees the claims, and the error says so.
func TestAnOldDefinitionIsStillInUse(t *testing.T) {
	s := newStore(t)
	before, now := define(t, "things", plainCode), define(t, "things", uniqueCode)
	id := s.created(before, `{"code":"a"}`)[0]
	_, err := s.run(now, func(r *reindex.Reindex) {
		r.Progress = func(what string, _, _ int64) {
			if what == "reindexed" {
				s.append(written(before, id, s.entities("things")[id].Version+1, `{"code":"a"}`))
			}
		}
	})
	if !errors.Is(err, reindex.ErrUnsettled) {
		t.Errorf("got %v, want %v", err, reindex.ErrUnsettled)
	}
}

func TestItStopsWhenAsked(t *testing.T) {
	s := newStore(t)
	now := define(t, "things", uniqueCode)
	s.created(define(t, "things", plainCode), `{"code":"a"}`, `{"code":"b"}`)
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err := (&reindex.Reindex{Log: s.log, Model: s.model.Projection, Collection: now, Dir: dir, Source: "/test", Wait: time.Minute, Progress: func(string, int64, int64) { cancel() }}).Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("got the files %v, %v, want none", left, err)
	}
	if report := s.mustRun(now); report.Lacking != 0 {
		t.Errorf("run again: got %+v, want no lacking entity", report)
	}
}

// Whatever the old definitions were, each entity ends with the claims that it can get under the
// current one. Documents are unchanged, and a second run finds nothing to do.
func TestAnyChangeOfDefinition(t *testing.T) {
	s := newStore(t)
	var n atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		name := fmt.Sprintf("things%d", n.Add(1))
		definition := func() *collections.Collection {
			return define(t, name, rapid.SampledFrom([]string{plainCode, uniqueCode, noCaseCode}).Draw(rt, "code")+
				rapid.SampledFrom([]string{"", `,"n":{"type":"integer"}`, `,"n":{"type":"integer","x-unique":true}`}).Draw(rt, "n"))
		}
		docs := map[string]string{}
		var batch []events.Event
		for range rapid.IntRange(1, 3).Draw(rt, "definitions") {
			c := definition()
			for range rapid.IntRange(0, 4).Draw(rt, "entities") {
				doc := fmt.Sprintf(`{"code":%q,"n":%d}`, rapid.SampledFrom([]string{"a", "A", "b", "B", "c"}).Draw(rt, "value"), rapid.IntRange(0, 5).Draw(rt, "n"))
				id := newID()
				docs[id], batch = doc, append(batch, written(c, id, 1, doc))
			}
		}
		if len(batch) > 0 {
			s.append(batch...)
		}
		now := definition()
		report := s.mustRun(now, skipClashing)
		all := s.entities(name)
		holders := map[string]int{}
		for id, e := range all {
			d, err := document.Parse(e.Rendered)
			if err != nil || string(d.Bytes()) != docs[id] {
				rt.Fatalf("%s: got %s, %v, want the document %s", id, e.Rendered, err, docs[id])
			}
			for _, claim := range e.Claims {
				holders[claim]++
				if !slices.Contains(now.Claims(d.Value()), claim) {
					rt.Fatalf("%s: got the claim %s, which the definition does not require", id, claim)
				}
			}
		}
		for id, e := range all {
			d, _ := document.Parse(e.Rendered) // parsed above
			for _, claim := range now.Claims(d.Value()) {
				if holders[claim] != 1 {
					rt.Fatalf("%s of %s: got %d holders, want 1", claim, id, holders[claim])
				}
			}
		}
		end := s.end()
		if again := s.mustRun(now, skipClashing); again.Changed != 0 || s.end() != end || !reflect.DeepEqual(again.Clashes, report.Clashes) {
			rt.Fatalf("a second run: got %+v, want no change and the clashes of %+v", again, report)
		}
	})
}
