package serve_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/service/servicetest"
)

// TestStoreIsItsModel lets clients send random commands to random nodes, while nodes are
// restarted, rebuilt and given wrong clocks. It compares every answer with a map. It runs for
// CLUSTERLITE_MODEL_TIME (8s). A failure is printed with the seed and the flag that reproduces
// it.
func TestStoreIsItsModel(t *testing.T) {
	wanted := 8 * time.Second
	if given := os.Getenv("CLUSTERLITE_MODEL_TIME"); given != "" {
		var err error
		if wanted, err = time.ParseDuration(given); err != nil {
			t.Fatalf("CLUSTERLITE_MODEL_TIME must be a duration such as 5m: %v", err)
		}
	}
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue {
		// Each batch has only a few checks, so that a slow machine stops in time too.
		if err := checks.Value.Set("2"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	broker, set, start := startBroker(t), servicetest.Collections(t), time.Now()
	stores := 0
	for !t.Failed() && (stores == 0 || time.Since(start) < wanted) {
		rapid.Check(t, func(rt *rapid.T) {
			stores++
			m := &machine{
				store:    openStore(rt, broker, set, filepath.Join(t.TempDir(), strconv.Itoa(stores)), fmt.Sprintf("model.%d", stores), 3),
				entities: map[string]entity{},
				past:     map[string][]entity{},
				keys:     map[string]keyed{},
			}
			defer m.store.close(rt)
			rt.Repeat(m.actions())
			m.equal(rt)
		})
	}
	t.Logf("%d stores in %s", stores, time.Since(start).Round(time.Second))
}

// actions returns the actions that may happen.
func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create":  m.create,
		"replace": func(t *rapid.T) { m.change(t, http.MethodPut) },
		"patch":   func(t *rapid.T) { m.change(t, http.MethodPatch) },
		"delete":  m.remove,
		"restore": m.restore,
		"read":    m.read,
		"list":    m.list,
		"retry":   m.retry,
		"race":    m.race,
		"import":  m.importLines,
		"restart": m.restart,
		"rebuild": m.rebuild,
		"clock":   m.clock,
		"foreign": m.foreign,
	}
}

// entity is what the model knows about a living entity. body is its last representation.
type entity struct {
	ID        string `json:"id"`
	Version   int64  `json:"version"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	body      string
}

// document returns the members that clients set, as they are stored.
func (e entity) document() string {
	_, rest, _ := strings.Cut(e.body, `"updated_at":`)
	_, own, _ := strings.Cut(rest, ",")
	return own
}

// keyed is a request with an idempotency key, and its answer.
type keyed struct {
	method, path, body string
	headers            []string
	answer             answer
}

// A machine is the store together with its model, which holds everything that a client can
// observe.
type machine struct {
	store    *store
	entities map[string]entity
	// past has all versions of each entity, in order. That of a deletion is empty.
	past     map[string][]entity
	gone     []string
	keys     map[string]keyed
	position int64
	count    int
}

type answer struct {
	status     int
	body, etag string
	position   int64
	problem    string
	label      string
	keyed      bool // the request had an idempotency key
}

func (m *machine) node(t *rapid.T) *member { return rapid.SampledFrom(m.store.nodes).Draw(t, "node") }

func (m *machine) email(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a@example.com", "B@example.com", "b@example.com", "c@example.com", "d@example.com"}).Draw(t, "email")
}

func (m *machine) name() string {
	m.count++
	return fmt.Sprintf("n%d", m.count)
}

// id usually returns the id of a living entity.
func (m *machine) id(t *rapid.T) string {
	ids := append(slices.Sorted(maps.Keys(m.entities)), "0193a1a0-0000-7000-8000-000000000000")
	if n := len(m.gone); n > 0 {
		ids = append(ids, m.gone[n-1])
	}
	return rapid.SampledFrom(ids).Draw(t, "id")
}

func (m *machine) holder(email string) string {
	for id, e := range m.entities {
		if strings.EqualFold(e.Email, email) {
			return id
		}
	}
	return ""
}

func do(n *member, method, path, body string, headers ...string) answer {
	r := servicetest.Do(n, method, path, body, headers...)
	b, _ := io.ReadAll(r.Body) // a recorder's body never fails
	a := answer{status: r.StatusCode, body: string(b), etag: r.Header.Get("ETag"), label: r.Header.Get("Clusterlite-Consistency")}
	a.position, _ = strconv.ParseInt(r.Header.Get("Clusterlite-Position"), 10, 64)
	var p struct{ Type string }
	if r.StatusCode >= 400 && json.Unmarshal(b, &p) == nil {
		a.problem = p.Type[strings.LastIndex(p.Type, "/")+1:]
	}
	return a
}

// consistency picks one of the consistencies that guarantee to show every acknowledged write.
func (m *machine) consistency(t *rapid.T) []string {
	return rapid.SampledFrom([][]string{nil, {"Clusterlite-Consistency: strong"}, {"Clusterlite-Consistency: linearizable"}}).Draw(t, "consistency")
}

func (m *machine) restart(t *rapid.T) {
	n := m.node(t)
	n.stop(t)
	n.start(t, rapid.IntRange(1, 50).Draw(t, "batch"))
}

func (m *machine) rebuild(t *rapid.T) {
	n := m.node(t)
	n.stop(t)
	n.forget(t)
	n.start(t, rapid.IntRange(1, 50).Draw(t, "batch"))
}

// clock makes a node's clock jump by days. No decision may depend on it.
func (m *machine) clock(t *rapid.T) {
	m.node(t).clock = time.Duration(rapid.IntRange(-72, 72).Draw(t, "hours")) * time.Hour
}

// foreign appends a foreign record, all or part of which is malformed.
func (m *machine) foreign(t *rapid.T) {
	header := func(name, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: []byte(value)} }
	records := []*kgo.Record{
		{Value: []byte("hello")},
		{Headers: []kgo.RecordHeader{header("ce_specversion", "1.0"), header("ce_type", "clusterlite.barrier")}},
		{Value: []byte(`{"name":"Eve"}`), Headers: []kgo.RecordHeader{header("ce_specversion", "1.0"), header("ce_type", "clusterlite.users.created"), header("ce_format", "1")}},
	}
	m.store.produce(t, records[rapid.IntRange(0, len(records)-1).Draw(t, "record")])
}

// equal checks that all nodes reach the same rows.
func (m *machine) equal(t *rapid.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var first string
	for _, n := range m.store.nodes {
		end, err := n.log.End(ctx)
		if err == nil {
			err = n.model.WaitFor(ctx, end)
		}
		if err != nil {
			t.Fatalf("%s: got %v", n.name, err)
		}
		s, err := n.model.Status(ctx)
		if err != nil {
			t.Fatalf("%s: got %v", n.name, err)
		}
		said := fmt.Sprint(s.Position, s.Digests, s.Entities, s.Voids)
		if first == "" {
			first = said
		}
		if said != first || s.Entities["users"] != int64(len(m.entities)) && s.Position > 0 {
			t.Fatalf("%s: got %s, want the state of the first node, %s, with the model's %d entities", n.name, said, first, len(m.entities))
		}
	}
}
