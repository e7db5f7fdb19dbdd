package queryapi_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// A node is a query service, together with a handle on its log to write events.
type node struct {
	http.Handler
	t      testing.TB
	broker *servicetest.Broker
	log    *eventlog.Log
	model  *servicetest.Model
}

func newNode(t testing.TB) node {
	t.Helper()
	return newNodeOf(t, servicetest.Collections(t))
}

func newNodeOf(t testing.TB, set *collections.Set) node {
	t.Helper()
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	model := servicetest.OpenModel(t, log, set).Follow()
	return node{serving(log, model, set), t, b, log, model}
}

func serving(log *eventlog.Log, model *servicetest.Model, set *collections.Set) http.Handler {
	return servingWithin(5*time.Second, log, model, set)
}

// servingWithin returns the API of a node whose reads wait at most this long for a position.
func servingWithin(wait time.Duration, log *eventlog.Log, model *servicetest.Model, set *collections.Set) http.Handler {
	a := &queryapi.API{Log: log, Model: model.Projection, Collections: set, Default: events.Strong, Wait: wait, MaxLag: time.Minute}
	e := servicetest.Echo(web.Options{})
	contract.Mount(e, a.Routes())
	return e
}

// created appends an entity's first event as a command service would.
func (n node) created(i int) (id string, at events.Position) {
	n.t.Helper()
	return n.createdAt(i, fmt.Sprintf(`{"name":"N%d","email":"u%d@example.com"}`, i, i))
}

// createdWith appends the first event of an entity with a document.
func (n node) createdWith(document string) (id string, at events.Position) {
	n.t.Helper()
	return n.createdAt(1, document)
}

func (n node) createdAt(i int, document string) (id string, at events.Position) {
	n.t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	at, err := n.log.Append(servicetest.Context(n.t), events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: events.Created, Version: 1,
		Time: time.Date(2026, 11, 24, 12, 0, i, 0, time.UTC), Document: []byte(document),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return id, at
}

func (n node) get(path string, status int, headers ...string) *http.Response {
	n.t.Helper()
	r := servicetest.Do(n, "GET", path, "", headers...)
	if r.StatusCode != status {
		n.t.Fatalf("GET %s %v: got %d, want %d: %s", path, headers, r.StatusCode, status, servicetest.Body(n.t, r))
	}
	return r
}

func TestAReadSeesWhatWasWrittenBefore(t *testing.T) {
	n := newNode(t)
	for i := range 20 {
		id, at := n.created(i)
		r := n.get("/users/"+id, 200)
		if got := r.Header.Get(contract.HeaderPosition); got != fmt.Sprint(int64(at)) || r.Header.Get(contract.HeaderConsistency) != "strong" || r.Header.Get("ETag") != `"1"` {
			t.Errorf("got %v, want version 1 at the position of the write, strong", r.Header)
		}
	}
}

// Linearizable reads share barriers and see earlier writes.
func TestLinearizableReads(t *testing.T) {
	n := newNode(t)
	const clients, each = 32, 10
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			for k := range each {
				id, at := n.created(i*each + k)
				r := n.get("/users/"+id, 200, "Clusterlite-Consistency: linearizable")
				if got := r.Header.Get(contract.HeaderConsistency); got != "linearizable" {
					t.Errorf("got consistency %q, want linearizable", got)
				}
				if p, err := strconv.ParseInt(r.Header.Get(contract.HeaderPosition), 10, 64); err != nil || events.Position(p) <= at {
					t.Errorf("got position %d, %v after an append at %d, want a barrier between them", p, err, at)
				}
			}
		})
	}
	wait.Wait()
	end, err := n.log.End(servicetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if barriers := int64(end) - clients*each; barriers == 0 || barriers > clients*each/2 {
		t.Errorf("got %d barriers for %d reads, want at most one for two reads", barriers, clients*each)
	}
	if voids, err := n.model.VoidCounts(servicetest.Context(t)); err != nil || len(voids) > 0 {
		t.Errorf("got voids %v, %v, want none", voids, err)
	}
}

func TestWithoutTheBroker(t *testing.T) {
	n := newNode(t)
	id, at := n.created(1)
	n.get("/users/"+id, 200)
	n.broker.Close()
	for _, s := range []struct {
		headers     []string
		status      int
		consistency string
	}{
		{nil, 200, "eventual"},
		{[]string{"Clusterlite-Consistency: eventual"}, 200, "eventual"},
		{[]string{"Clusterlite-Consistency: strong"}, 503, ""},
		{[]string{"Clusterlite-Consistency: linearizable"}, 503, ""},
		{[]string{fmt.Sprintf("Clusterlite-Min-Position: %d", at)}, 200, "eventual"},
		{[]string{"Clusterlite-Consistency: eventual", "Clusterlite-Min-Position: 1"}, 200, "eventual"},
	} {
		for _, path := range []string{"/users/" + id, "/users"} {
			r := n.get(path, s.status, s.headers...)
			if got := r.Header.Get(contract.HeaderConsistency); got != s.consistency {
				t.Errorf("%s %v: got consistency %q, want %q", path, s.headers, got, s.consistency)
			}
			if body := servicetest.Body(t, r); s.status == 503 && (!strings.Contains(body, "/broker-unreachable") || r.Header.Get("Retry-After") == "") {
				t.Errorf("%s: got %v, %s, want broker-unreachable with Retry-After", path, r.Header, body)
			}
		}
	}
	n.broker.Restart()
	for ctx := servicetest.Context(t); ; {
		if r := n.get("/users/"+id, 200); r.Header.Get(contract.HeaderConsistency) == "strong" {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("got no strong reads after the outage, want them again")
		}
	}
}

func TestANodeThatIsBehind(t *testing.T) {
	b := servicetest.StartBroker(t)
	set, log := servicetest.Collections(t), b.OpenLog()
	model := servicetest.OpenModel(t, log, set) // it never follows the log
	a := &queryapi.API{Log: log, Model: model.Projection, Collections: set, Default: events.Strong, Wait: 50 * time.Millisecond, MaxLag: time.Minute}
	e := servicetest.Echo(web.Options{})
	contract.Mount(e, a.Routes())
	n := node{e, t, b, log, model}
	id, at := n.created(1)
	for _, headers := range [][]string{nil, {"Clusterlite-Consistency: strong"}, {"Clusterlite-Consistency: linearizable"}, {"Clusterlite-Consistency: eventual"}, {"Clusterlite-Consistency: eventual", fmt.Sprintf("Clusterlite-Min-Position: %d", at)}} {
		r := n.get("/users/"+id, 503, headers...)
		// On a busy machine, the wait may be over before the broker answers.
		body := servicetest.Body(t, r)
		if !slices.ContainsFunc([]string{"/not-ready", "/read-model-behind", "/broker-unreachable"}, func(kind string) bool { return strings.Contains(body, kind) }) {
			t.Errorf("%v: got %s, want not-ready, read-model-behind or broker-unreachable", headers, body)
		}
	}
}

// A file that has caught up once is served through an outage, even after a restart. A file that has
// never caught up is not served, since it may lack entities.
func TestANodeThatIsStartedDuringAnOutage(t *testing.T) {
	b := servicetest.StartBroker(t)
	set, log := servicetest.Collections(t), b.OpenLog()
	dir := t.TempDir()
	was := servicetest.OpenModelIn(t, dir, log, set).Follow()
	n := node{t: t, log: log}
	id, at := n.created(1)
	if err := was.WaitFor(servicetest.Context(t), at); err != nil {
		t.Fatal(err)
	}
	was.Stop()
	if err := was.Close(); err != nil {
		t.Fatal(err)
	}
	b.Close()

	for dir, status := range map[string]int{dir: 200, t.TempDir(): 503} {
		log := b.OpenLog()
		model := servicetest.OpenModelIn(t, dir, log, set).Start()
		for ctx := servicetest.Context(t); log.Reachable() && ctx.Err() == nil; {
			_, _ = log.End(ctx) // the call only detects that the broker does not answer
		}
		n := node{serving(log, model, set), t, b, log, model}
		for _, headers := range [][]string{nil, {"Clusterlite-Consistency: eventual"}} {
			n.get("/users/"+id, status, headers...)
			n.get("/users", status, headers...)
		}
		n.get("/users/"+id, 503, "Clusterlite-Consistency: strong")

		// Readiness agrees with what clients get, and gives the reason.
		err := model.Ready(time.Minute)
		if (err == nil) != (status == 200) {
			t.Errorf("reads are answered with %d: got %v from Ready, want an error unless it is 200", status, err)
		}
		if err != nil && strings.Contains(err.Error(), "catching up") {
			t.Errorf("got %v, want no progress while the end of the log is unknown", err)
		}
		if said := model.Degraded(); (status == 200) != strings.Contains(said, "the broker is unreachable, so the end of the log is unknown: serving position 1") {
			t.Errorf("reads are answered with %d: got %q from Degraded, want the outage if it is 200", status, said)
		}
	}
}

// A node that has stopped for good leaves all reads to other nodes.
func TestANodeThatHasStoppedAnswersNoRead(t *testing.T) {
	n := newNode(t)
	id, at := n.created(1)
	n.get("/users/"+id, 200)
	client, err := kgo.NewClient(kgo.SeedBrokers(n.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	newer := &kgo.Record{Topic: "clusterlite.events", Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("clusterlite.users.merged")}, {Key: "ce_format", Value: []byte("99")},
	}}
	if err := client.ProduceSync(servicetest.Context(t), newer).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := n.model.WaitFor(servicetest.Context(t), at+1); err == nil {
		t.Fatal("got no error for an event of a newer format, want one")
	}
	for _, headers := range [][]string{nil, {"Clusterlite-Consistency: eventual"}, {"Clusterlite-Consistency: strong"}} {
		r := n.get("/users/"+id, 503, headers...)
		if body := servicetest.Body(t, r); !strings.Contains(body, "/not-ready") {
			t.Errorf("%v: got %s, want not-ready", headers, body)
		}
	}
	if err := n.model.Ready(time.Minute); err == nil || !strings.Contains(err.Error(), "newer-format") {
		t.Errorf("got %v, want newer-format", err)
	}
}

// A node whose lag exceeds its limit answers no read, and one that can't apply the log gives the
// reason. Both recover without help.
func TestANodeThatFallsBehind(t *testing.T) {
	for name, c := range map[string]struct{ hinder, relieve, says string }{
		"locked": {`BEGIN IMMEDIATE`, `ROLLBACK`, ""},
		"failing": {
			`CREATE TRIGGER hinder BEFORE INSERT ON users BEGIN SELECT raise(FAIL, 'the disk is full'); END`, `DROP TRIGGER hinder`,
			"the disk is full",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := servicetest.StartBroker(t)
			set, log := servicetest.Collections(t), b.OpenLog()
			dir := t.TempDir()
			model := servicetest.OpenModelIn(t, dir, log, set).Follow()
			const maxLag = 50 * time.Millisecond
			a := &queryapi.API{Log: log, Model: model.Projection, Collections: set, Default: events.Strong, Wait: 5 * time.Second, MaxLag: maxLag}
			e := servicetest.Echo(web.Options{})
			contract.Mount(e, a.Routes())
			n := node{e, t, b, log, model}
			first, at := n.created(1)
			if err := model.WaitFor(servicetest.Context(t), at); err != nil {
				t.Fatal(err)
			}
			n.get("/users/"+first, 200)

			db, err := sql.Open("sqlite3", filepath.Join(dir, datafolder.FileName))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			db.SetMaxOpenConns(1)
			if _, err := db.Exec(c.hinder); err != nil {
				t.Fatal(err)
			}
			_, at = n.created(2)
			for ctx := servicetest.Context(t); model.Ready(maxLag) == nil && ctx.Err() == nil; time.Sleep(time.Millisecond) {
			}
			if err := model.Ready(maxLag); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want the reason of the test case", err)
			}
			for _, headers := range [][]string{nil, {"Clusterlite-Consistency: eventual"}} {
				n.get("/users/"+first, 503, headers...)
			}
			if _, err := db.Exec(c.relieve); err != nil {
				t.Fatal(err)
			}
			if err := model.WaitFor(servicetest.Context(t), at); err != nil {
				t.Fatal(err)
			}
			for ctx := servicetest.Context(t); model.Ready(maxLag) != nil && ctx.Err() == nil; time.Sleep(time.Millisecond) {
			}
			n.get("/users/"+first, 200, "Clusterlite-Consistency: eventual")
		})
	}
}

func TestRevalidation(t *testing.T) {
	n := newNode(t)
	id, _ := n.created(1)
	for tag, status := range map[string]int{`"1"`: 304, `W/"1"`: 304, `"0", "1"`: 304, `*`: 304, `"2"`: 200, `"x"`: 200} {
		r := n.get("/users/"+id, status, "If-None-Match: "+tag)
		body := servicetest.Body(t, r)
		if r.Header.Get("ETag") != `"1"` || r.Header.Get("Last-Modified") != "Tue, 24 Nov 2026 12:00:01 GMT" || (body == "") != (status == 304) {
			t.Errorf("%s: got %v, %q, want version 1 with its date, and a body unless 304", tag, r.Header, body)
		}
	}
	n.get("/users/"+id, 400, "If-None-Match: 1")
}
