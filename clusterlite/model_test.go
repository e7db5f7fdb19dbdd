package main

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
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/service/servicetest"
)

// TestStoreIsItsModel has clients send random commands to random nodes, while nodes are
// restarted, rebuilt and given wrong clocks, and holds every answer against a map. It
// goes on for CLUSTERLITE_MODEL_TIME (10s). What fails is printed with the seed and the
// flag that plays it again.
func TestStoreIsItsModel(t *testing.T) {
	wanted := 10 * time.Second
	if given := os.Getenv("CLUSTERLITE_MODEL_TIME"); given != "" {
		var err error
		if wanted, err = time.ParseDuration(given); err != nil {
			t.Fatalf("CLUSTERLITE_MODEL_TIME must be a duration such as 5m: %v", err)
		}
	}
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue {
		// Few at a time, so that a slow machine stops in time too.
		if err := checks.Value.Set("3"); err != nil {
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
				keys:     map[string]keyed{},
			}
			defer m.store.close(rt)
			rt.Repeat(m.actions())
			m.equal(rt)
		})
	}
	t.Logf("%d stores in %s", stores, time.Since(start).Round(time.Second))
}

// actions are what may happen.
func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create":  m.create,
		"replace": func(t *rapid.T) { m.change(t, http.MethodPut) },
		"patch":   func(t *rapid.T) { m.change(t, http.MethodPatch) },
		"delete":  m.remove,
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

// entity is what the model knows of a living one, and body how it was last shown.
type entity struct {
	ID        string `json:"id"`
	Version   int64  `json:"version"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	body      string
}

// keyed is a request that came with an idempotency key, and its answer.
type keyed struct {
	method, path, body string
	headers            []string
	answer             answer
}

// A machine is the store and its model: the whole of what a client can tell.
type machine struct {
	store    *store
	entities map[string]entity
	gone     []string
	keys     map[string]keyed
	position int64
	count    int
}

type answer struct {
	status         int
	body, etag     string
	position       int64
	problem        string
	consistencyTag string
}

func (m *machine) node(t *rapid.T) *member { return rapid.SampledFrom(m.store.nodes).Draw(t, "node") }

func (m *machine) email(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a@example.com", "B@example.com", "b@example.com", "c@example.com", "d@example.com"}).Draw(t, "email")
}

func (m *machine) name() string {
	m.count++
	return fmt.Sprintf("n%d", m.count)
}

// id is mostly that of a living entity.
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
	b, _ := io.ReadAll(r.Body) // of a recorder
	a := answer{status: r.StatusCode, body: string(b), etag: r.Header.Get("ETag"), consistencyTag: r.Header.Get("Clusterlite-Consistency")}
	a.position, _ = strconv.ParseInt(r.Header.Get("Clusterlite-Position"), 10, 64)
	var p struct{ Type string }
	if r.StatusCode >= 400 && json.Unmarshal(b, &p) == nil {
		a.problem = p.Type[strings.LastIndex(p.Type, "/")+1:]
	}
	return a
}

// consistency draws what to ask for, of what promises to see everything.
func (m *machine) consistency(t *rapid.T) []string {
	return rapid.SampledFrom([][]string{nil, {"Clusterlite-Consistency: strong"}, {"Clusterlite-Consistency: linearizable"}}).Draw(t, "consistency")
}

// write sends a write and checks that its answer is the wanted one: a status below 300,
// or the kind of a problem.
func (m *machine) write(t *rapid.T, method, path, body string, headers []string, status int, problem string) answer {
	t.Helper()
	headers = append(headers, m.consistency(t)...)
	if rapid.Bool().Draw(t, "keyed") {
		m.count++
		headers = append(headers, fmt.Sprintf("Idempotency-Key: k%d", m.count))
	}
	n := m.node(t)
	a := do(n, method, path, body, headers...)
	if a.status != status && problem == "" || a.problem != problem {
		t.Fatalf("%s %s %s %v on %s: %+v, want %d %s", method, path, body, headers, n.name, a, status, problem)
	}
	if problem != "" {
		return a
	}
	if a.position <= m.position {
		t.Fatalf("a write is acknowledged at position %d, after %d", a.position, m.position)
	}
	m.position = a.position
	if last := headers[max(0, len(headers)-1):]; len(last) > 0 && strings.HasPrefix(last[0], "Idempotency-Key: ") {
		m.keys[last[0]] = keyed{method, path, body, headers, a}
	}
	return a
}

// keep takes an entity that an answer shows, and checks that it is the wanted one.
func (m *machine) keep(t *rapid.T, a answer, want entity) {
	t.Helper()
	var got entity
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if want.ID == "" {
		want.ID, want.CreatedAt = got.ID, got.UpdatedAt
	}
	want.UpdatedAt, want.body = got.UpdatedAt, ""
	if _, twice := m.entities[want.ID]; twice && want.Version == 1 || got != want || a.etag != fmt.Sprintf(`"%d"`, want.Version) {
		t.Fatalf("shown is %+v with ETag %s, want %+v", got, a.etag, want)
	}
	want.body = a.body
	m.entities[want.ID] = want
}

func (m *machine) create(t *rapid.T) {
	e := entity{Version: 1, Name: m.name(), Email: m.email(t)}
	body := fmt.Sprintf(`{"name":%q,"email":%q}`, e.Name, e.Email)
	if m.holder(e.Email) != "" {
		m.write(t, http.MethodPost, "/users", body, nil, 0, "unique-taken")
		return
	}
	m.keep(t, m.write(t, http.MethodPost, "/users", body, nil, http.StatusCreated, ""), e)
}

// match draws an If-Match, and tells whether it holds.
func (m *machine) match(t *rapid.T, id string) (headers []string, holds bool) {
	version := m.entities[id].Version
	switch d := rapid.IntRange(-1, 2).Draw(t, "match"); {
	case d == 2:
		return nil, true
	case version+int64(d) < 1:
		return []string{"If-Match: *"}, true
	default:
		return []string{fmt.Sprintf(`If-Match: "%d"`, version+int64(d))}, d == 0
	}
}

// problem is what a change of an entity meets, if anything.
func (m *machine) problem(id string, matches bool, email string) string {
	_, found := m.entities[id]
	holder := m.holder(email)
	switch {
	case !found:
		return "not-found"
	case !matches:
		return "version-mismatch"
	case email != "" && holder != "" && holder != id:
		return "unique-taken"
	}
	return ""
}

func (m *machine) change(t *rapid.T, method string) {
	id := m.id(t)
	headers, matches := m.match(t, id)
	e := m.entities[id]
	e.Version++
	fields := map[string]string{}
	if method == http.MethodPut || rapid.Bool().Draw(t, "rename") {
		e.Name = m.name()
		fields["name"] = e.Name
	}
	email := ""
	if method == http.MethodPut || rapid.Bool().Draw(t, "readdress") {
		email = m.email(t)
		e.Email = email
		fields["email"] = e.Email
	}
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatalf("%v", err)
	}
	problem := m.problem(id, matches, email)
	a := m.write(t, method, "/users/"+id, string(body), headers, http.StatusOK, problem)
	if problem == "" {
		m.keep(t, a, e)
	}
}

func (m *machine) remove(t *rapid.T) {
	id := m.id(t)
	headers, matches := m.match(t, id)
	problem := m.problem(id, matches, "")
	m.write(t, http.MethodDelete, "/users/"+id, "", headers, http.StatusNoContent, problem)
	if problem == "" {
		delete(m.entities, id)
		m.gone = append(m.gone, id)
	}
}

func (m *machine) read(t *rapid.T) {
	id, n := m.id(t), m.node(t)
	a := do(n, http.MethodGet, "/users/"+id, "", m.consistency(t)...)
	e, found := m.entities[id]
	if found && (a.status != http.StatusOK || a.body != e.body || a.etag != fmt.Sprintf(`"%d"`, e.Version)) || !found && a.problem != "not-found" {
		t.Fatalf("%s shows %+v, want %+v", n.name, a, e)
	}
	if a.position < m.position {
		t.Fatalf("%s answers at %d, and %d was acknowledged", n.name, a.position, m.position)
	}
}

// list reads all, in the order of their ids, or who has an address, letter by letter.
func (m *machine) list(t *rapid.T) {
	query, chosen := "", slices.Sorted(maps.Keys(m.entities))
	if rapid.Bool().Draw(t, "filter") {
		email := m.email(t)
		query = "&email=" + email
		chosen = slices.DeleteFunc(chosen, func(id string) bool { return m.entities[id].Email != email })
	}
	var bodies []string
	for _, id := range chosen {
		bodies = append(bodies, m.entities[id].body)
	}
	n := m.node(t)
	a := do(n, http.MethodGet, "/users?limit=100&sort=id"+query, "", m.consistency(t)...)
	var got []json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	for i := range max(len(got), len(bodies)) {
		if i >= len(got) || i >= len(bodies) || string(got[i]) != bodies[i] {
			t.Fatalf("%s lists %s, want %s", n.name, a.body, bodies)
		}
	}
}

// retry sends a request again under its key: its first outcome is repeated. With another
// body it is refused.
func (m *machine) retry(t *rapid.T) {
	if len(m.keys) == 0 {
		t.Skip("nothing to send again")
	}
	k := m.keys[rapid.SampledFrom(slices.Sorted(maps.Keys(m.keys))).Draw(t, "key")]
	n := m.node(t)
	if k.method != http.MethodDelete && rapid.IntRange(0, 3).Draw(t, "other") == 0 {
		if a := do(n, k.method, k.path, k.body+" ", k.headers...); a.problem != "idempotency-key-reused" {
			t.Fatalf("another request with a key on %s: %+v", n.name, a)
		}
		return
	}
	if a := do(n, k.method, k.path, k.body, k.headers...); a != k.answer {
		t.Fatalf("%s %s again on %s: %+v, first %+v", k.method, k.path, n.name, a, k.answer)
	}
}

// race has one client at each node create with the same address at once: one gets it.
func (m *machine) race(t *rapid.T) {
	e := entity{Version: 1, Name: m.name(), Email: m.email(t)}
	answers := make([]answer, len(m.store.nodes))
	var clients sync.WaitGroup
	for i, n := range m.store.nodes {
		clients.Go(func() {
			answers[i] = do(n, http.MethodPost, "/users", fmt.Sprintf(`{"name":%q,"email":%q}`, e.Name, e.Email))
		})
	}
	clients.Wait()
	free := m.holder(e.Email) == ""
	for _, a := range answers {
		switch {
		case a.problem == "unique-taken":
		case a.status == http.StatusCreated && free:
			free = false
			m.position = a.position
			m.keep(t, a, e)
		default:
			t.Fatalf("a race for %s: %+v", e.Email, answers)
		}
	}
	if free {
		t.Fatalf("nobody won the race for %s: %+v", e.Email, answers)
	}
}

// importLines creates some at once, each on its own.
func (m *machine) importLines(t *rapid.T) {
	var lines strings.Builder
	var want []entity
	free := map[string]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "lines") {
		e := entity{Version: 1, Name: m.name(), Email: m.email(t)}
		key := strings.ToLower(e.Email)
		if m.holder(e.Email) == "" && !free[key] {
			free[key] = true
			want = append(want, e)
		} else {
			want = append(want, entity{})
		}
		fmt.Fprintf(&lines, `{"name":%q,"email":%q}`+"\n", e.Name, e.Email)
	}
	n := m.node(t)
	a := do(n, http.MethodPost, "/users", lines.String(), "Content-Type: application/x-ndjson")
	got := strings.Split(strings.TrimSpace(a.body), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines give %q", len(want), a.body)
	}
	for i, line := range got {
		var result struct {
			Status int
			ID     string
		}
		if err := json.Unmarshal([]byte(line), &result); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if want[i] == (entity{}) {
			if result.Status != http.StatusConflict {
				t.Fatalf("line %d gives %s, want a conflict", i+1, line)
			}
			continue
		}
		if result.Status != http.StatusCreated {
			t.Fatalf("line %d gives %s", i+1, line)
		}
		shown := do(m.node(t), http.MethodGet, "/users/"+result.ID, "")
		m.position = max(m.position, shown.position)
		m.keep(t, shown, want[i])
	}
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

// clock makes a node's clock jump, by days: nothing is decided by it.
func (m *machine) clock(t *rapid.T) {
	m.node(t).clock = time.Duration(rapid.IntRange(-72, 72).Draw(t, "hours")) * time.Hour
}

// foreign has a stranger write what nobody understands, or half of it.
func (m *machine) foreign(t *rapid.T) {
	header := func(name, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: []byte(value)} }
	records := []*kgo.Record{
		{Value: []byte("hello")},
		{Headers: []kgo.RecordHeader{header("ce_specversion", "1.0"), header("ce_type", "clusterlite.barrier")}},
		{Value: []byte(`{"name":"Eve"}`), Headers: []kgo.RecordHeader{header("ce_specversion", "1.0"), header("ce_type", "clusterlite.users.created"), header("ce_format", "1")}},
	}
	m.store.produce(t, records[rapid.IntRange(0, len(records)-1).Draw(t, "record")])
}

// equal checks that all nodes come to the same rows.
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
			t.Fatalf("%s: %v", n.name, err)
		}
		s, err := n.model.Status(ctx)
		if err != nil {
			t.Fatalf("%s: %v", n.name, err)
		}
		said := fmt.Sprint(s.Position, s.Digests, s.Entities, s.Voids)
		if first == "" {
			first = said
		}
		if said != first || s.Entities["users"] != int64(len(m.entities)) && s.Position > 0 {
			t.Fatalf("%s has %s, the first %s, the model %d entities", n.name, said, first, len(m.entities))
		}
	}
}
