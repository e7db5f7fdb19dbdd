package projections_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/verdicts"
)

func TestMain(m *testing.M) {
	if broker, dir, found := strings.Cut(os.Getenv(crashing), " "); found {
		fmt.Fprintln(os.Stderr, rebuildForever(broker, dir))
		os.Exit(1)
	}
	if path := os.Getenv(converting); path != "" {
		if err := convertFile(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if path := os.Getenv(movingClaims); path != "" {
		fmt.Fprintln(os.Stderr, claimForever(path))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A rig is a broker with a log, on which tests start nodes.
type rig struct {
	t      testing.TB
	broker *embedded.Broker
	dir    string
	log    *eventlog.Log
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.startBroker("127.0.0.1:0")
	r.log = r.open("clusterlite.events")
	if _, err := r.log.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) startBroker(addr string) {
	r.t.Helper()
	b, err := embedded.Start(r.dir, addr, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker = b
	r.t.Cleanup(b.Close)
}

func (r *rig) open(topic string) *eventlog.Log {
	r.t.Helper()
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{r.broker.Addr()}, Topic: topic, ClientID: "test"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = l.Close() })
	return l
}

func (r *rig) append(batch ...events.Event) events.Position {
	r.t.Helper()
	p, err := r.log.Append(deadline(r.t), batch...)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// A node is a running projection.
type node struct {
	*projections.Projection
	t    testing.TB
	dir  string
	stop context.CancelFunc
	ran  chan error
}

func (r *rig) node(dir string, maxBatch int) *node {
	r.t.Helper()
	return r.nodeOn(r.log, dir, maxBatch)
}

func (r *rig) nodeOn(log *eventlog.Log, dir string, maxBatch int) *node {
	r.t.Helper()
	return r.nodeOf(log, dir, maxBatch, usersOnly(r.t))
}

func (r *rig) nodeOf(log *eventlog.Log, dir string, maxBatch int, set *collections.Set) *node {
	r.t.Helper()
	return r.nodeWith(projections.Options{Dir: dir, Log: log, Collections: set, MaxBatch: maxBatch})
}

// nodeWith starts a node. Options that are not set take the values that other nodes of the rig
// have.
func (r *rig) nodeWith(o projections.Options) *node {
	r.t.Helper()
	if o.Dir == "" {
		o.Dir = r.t.TempDir()
	}
	if o.Log == nil {
		o.Log = r.log
	}
	if o.Collections == nil {
		o.Collections = usersOnly(r.t)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 1 << 20
	}
	p, err := projections.Open(deadline(r.t), o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &node{Projection: p, t: r.t, dir: o.Dir, stop: stop, ran: make(chan error, 1)}
	go func() { n.ran <- p.Run(ctx) }()
	r.t.Cleanup(func() { n.close() })
	return n
}

// close stops the node and returns the error of Run. Later calls do nothing.
func (n *node) close() error {
	n.stop()
	if n.ran == nil {
		return nil
	}
	err := <-n.ran
	n.ran = nil
	if err := n.Close(); err != nil {
		n.t.Error(err)
	}
	return err
}

func (n *node) at(p events.Position) *node {
	n.t.Helper()
	if err := n.WaitFor(deadline(n.t), p); err != nil {
		n.t.Fatal(err)
	}
	return n
}

func user(id, name, claim string) events.Event {
	e := events.Event{
		ID: uuid.NewString(), Source: "/test", Collection: "users", EntityID: id, Kind: events.Created, Version: 1,
		Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Document: fmt.Appendf(nil, `{"name":%q,"email":"e"}`, name),
	}
	if claim != "" {
		e.Claims = []string{claim}
	}
	return e
}

func then(e events.Event, kind events.Kind, version int64) events.Event {
	e.ID, e.Kind, e.Version = uuid.NewString(), kind, version
	if kind == events.Deleted {
		e.Document, e.Claims = nil, nil
	}
	return e
}

const claim = "email:AAAAAAAAAAAAAAAAAAAAAA"

func TestEntitiesFollowTheLog(t *testing.T) {
	r := newRig(t)
	ada, bob := uuid.NewString(), uuid.NewString()
	first := user(ada, "Ada", claim)
	p := r.append(first, then(first, events.Updated, 2), user(bob, "Bob", claim), then(first, events.Deleted, 3), user(bob, "Bob", claim))
	n := r.node(t.TempDir(), 0).at(p)

	e, found, at, err := n.Entity(deadline(t), "users", ada)
	if err != nil || !found || !e.Deleted || e.Version != 3 || at != p {
		t.Errorf("Ada: got %+v, found %v, position %d, %v, want version 3, deleted, position %d", e, found, at, err, p)
	}
	e, found, _, err = n.Entity(deadline(t), "users", bob)
	want := `{"id":"` + bob + `","version":1,"created_at":"2026-11-22T12:00:00.000Z","updated_at":"2026-11-22T12:00:00.000Z","name":"Bob","email":"e"}`
	if err != nil || !found || e.Deleted || string(e.Rendered) != want {
		t.Errorf("Bob: got %+v, found %v, %v, want %s", e, found, err, want)
	}
	if holder, err := n.Holder(deadline(t), "users", claim); err != nil || holder != bob {
		t.Errorf("got holder %s of the claim, %v, want %s", holder, err, bob)
	}
	if _, found, _, err := n.Entity(deadline(t), "users", uuid.NewString()); found || err != nil {
		t.Errorf("an unknown id: got found %v, %v, want not found", found, err)
	}
	voids, err := n.Voids(deadline(t), 10)
	if err != nil || len(voids) != 1 || voids[0].Offset != 2 || voids[0].Reason != "taken" || voids[0].EntityID != bob {
		t.Errorf("got void records %+v, %v, want one at offset 2: taken, of %s", voids, err, bob)
	}
	status, err := n.Status(deadline(t))
	if err != nil || status.Position != p || status.Voids != 1 || status.Entities["users"] != 1 || len(status.Digests["users"]) != 64 {
		t.Errorf("got status %+v, %v, want 1 user, 1 void record and position %d", status, err, p)
	}
}

func TestARestartResumesFromTheFile(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	p := r.append(user(uuid.NewString(), "Ada", ""))
	if err := r.node(dir, 0).at(p).close(); err != nil {
		t.Fatal(err)
	}
	p = r.append(user(uuid.NewString(), "Bob", ""))
	n := r.node(dir, 0)
	if n.Position() == 0 {
		t.Error("got position 0, want the position of the file")
	}
	if got := living(t, n.at(p)); got != 2 {
		t.Errorf("got %d entities, want 2", got)
	}
}

func living(t testing.TB, n *node) int64 {
	t.Helper()
	s, err := n.Status(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return s.Entities["users"]
}

func TestJudgementsReachTheirWaiters(t *testing.T) {
	r := newRig(t)
	n := r.node(t.TempDir(), 0)
	first, second := user(uuid.NewString(), "Ada", claim), user(uuid.NewString(), "Bob", claim)
	one, two := n.Expect(first.ID), n.Expect(second.ID)
	defer one.Forget()
	defer two.Forget()
	r.append(first, second)
	if j := judgement(t, one); j.Verdict.Outcome != events.Admitted || j.Position != 1 {
		t.Errorf("got %+v, want it admitted at position 1", j)
	}
	if j := judgement(t, two); j.Verdict.Reason != events.ReasonTaken || j.Verdict.Holder != first.EntityID || j.Position != 2 {
		t.Errorf("got %+v, want it void at position 2: taken, held by %s", j, first.EntityID)
	}
}

func judgement(t testing.TB, x *verdicts.Expectation) verdicts.Judgement {
	t.Helper()
	receive(t, x.Known())
	j, known := x.Judgement()
	if !known {
		t.Fatal("got no judgement, want one")
	}
	return j
}

func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-deadline(t).Done():
		t.Fatal("got a timeout, want a value")
	}
	return v
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	n := newRig(t).node(t.TempDir(), 0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := n.WaitFor(ctx, 99); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

// A collection whose schema file is missing keeps its entities and applies events. Its filters
// work again once the file is back.
func TestACollectionWhoseFileIsMissing(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	examples, err := collections.Load("../examples")
	if err != nil {
		t.Fatal(err)
	}
	product := func(id, sku string, price float64) events.Event {
		e := user(id, "", "")
		e.Collection, e.Document = "products", fmt.Appendf(nil, `{"sku":%q,"name":"n","price":%g,"size":{"width":1}}`, sku, price)
		return e
	}
	tea, pot, cup := product(uuid.NewString(), "TEA", 1), product(uuid.NewString(), "POT", 20), product(uuid.NewString(), "CUP", 5)
	if err := r.nodeOf(r.log, dir, 0, examples).at(r.append(tea, pot)).close(); err != nil {
		t.Fatal(err)
	}
	dearer := then(tea, events.Updated, 2)
	dearer.Document = product("", "TEA", 10).Document
	gone := r.nodeOn(r.log, dir, 0).at(r.append(dearer, then(pot, events.Deleted, 2), cup))
	if s, err := gone.Status(deadline(t)); err != nil || s.Entities["products"] != 2 || s.Voids != 0 {
		t.Errorf("got %+v, %v, want 2 products and no void records", s, err)
	}
	digest := gone.mustDigest("products")
	if err := gone.close(); err != nil {
		t.Fatal(err)
	}
	back := r.nodeOf(r.log, dir, 0, examples)
	c, _ := examples.Get("products")
	q := query.Query{}
	for _, col := range query.Columns(c) {
		if col.Name() == "price" {
			q = query.Query{Filters: []query.Filter{{Column: col, Op: query.Greater, Values: []any{4.0}}}, Sort: []query.SortKey{{Column: col}}}
		}
	}
	if got, want := back.list("products", q), []string{string(cup.Document[1:]), string(dearer.Document[1:])}; !endsAre(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if back.mustDigest("products") != digest || r.nodeOf(r.log, t.TempDir(), 0, examples).at(back.Position()).mustDigest("products") != digest {
		t.Error("got a digest that differs from the one before the restart, want the same one on both nodes")
	}
}

func (n *node) mustDigest(collection string) string {
	n.t.Helper()
	s, err := n.Status(deadline(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	return s.Digests[collection]
}

func (n *node) list(collection string, q query.Query) (all []string) {
	n.t.Helper()
	s, err := n.BeginRead(deadline(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	_, err = s.List(deadline(n.t), collection, q, func(b []byte) error { all = append(all, string(b)); return nil })
	if err = errors.Join(err, s.Close()); err != nil {
		n.t.Fatal(err)
	}
	return all
}

// endsAre reports whether each text has the wanted end. The server's members come before it.
func endsAre(got, want []string) bool {
	return slices.EqualFunc(got, want, strings.HasSuffix)
}

func usersOnly(t testing.TB) *collections.Set {
	t.Helper()
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func tamper(t testing.TB, dir, statement string) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", filepath.Join(dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(statement); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func setPosition(t testing.TB, dir string, p int) {
	t.Helper()
	tamper(t, dir, fmt.Sprintf(`UPDATE _checkpoint SET position = %d`, p))
}

func setVersion(t testing.TB, dir string, v int) {
	t.Helper()
	tamper(t, dir, fmt.Sprintf(`PRAGMA user_version = %d`, v))
}

func TestCloseTwice(t *testing.T) {
	r := newRig(t)
	p, err := projections.Open(deadline(t), projections.Options{Dir: t.TempDir(), Log: r.log, Collections: usersOnly(t)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A closed projection answers no reads, not even from its cache.
func TestNoReadAfterClose(t *testing.T) {
	r := newRig(t)
	ids, end := r.fill(1)
	n := r.node("", 10)
	if err := n.WaitFor(deadline(t), end); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, found, _, err := n.Entity(deadline(t), "users", ids[0]); err != nil || !found {
			t.Fatalf("got found %t, %v, want it found", found, err)
		}
	}
	if hits := n.Cache().Hits; hits != 1 {
		t.Errorf("got %d hits, want 1", hits)
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := n.Entity(deadline(t), "users", ids[0]); err == nil {
		t.Error("got an entity, want an error")
	}
}

// A file that has never caught up may hold only the beginning of the log.
func TestCaughtUp(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	_, end := r.fill(3)
	for _, before := range []bool{false, true} {
		p, err := projections.Open(deadline(t), projections.Options{Dir: dir, Log: r.log, Collections: usersOnly(t)})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.CaughtUp():
			if !before {
				t.Error("a new file counts as one that has caught up, want it not to")
			}
		default:
			if before {
				t.Error("a file that has caught up in an earlier run does not count as such, want it to")
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		n := r.node(dir, 1)
		receive(t, n.CaughtUp())
		if got := n.Position(); got < end {
			t.Errorf("got position %d when the node has caught up, want at least %d", got, end)
		}
		if err := n.close(); err != nil {
			t.Fatal(err)
		}
	}
}
