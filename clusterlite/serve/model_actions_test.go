package serve_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"pgregory.net/rapid"
)

// write sends a write and checks that its answer is the wanted one: a status below 300, or a
// kind of problem.
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
	if a.position < m.position || a.position == m.position && status != http.StatusOK {
		t.Fatalf("a write: got position %d, want one after %d", a.position, m.position)
	}
	m.position = a.position
	if last := headers[max(0, len(headers)-1):]; len(last) > 0 && strings.HasPrefix(last[0], "Idempotency-Key: ") {
		m.keys[last[0]] = keyed{method, path, body, headers, a}
		a.keyed = true
	}
	return a
}

// keep records the entity in an answer, and checks that it is the expected one.
func (m *machine) keep(t *rapid.T, a answer, want entity) {
	t.Helper()
	var got entity
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("got %v: %s, want an entity", err, a.body)
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
	m.past[want.ID] = append(m.past[want.ID], want)
	if len(m.past[want.ID]) != int(want.Version) {
		t.Fatalf("got version %d of %s, want %d", want.Version, want.ID, len(m.past[want.ID]))
	}
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

// match draws an If-Match, and reports whether it holds.
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

// problem returns the problem that a change of an entity causes, or an empty string.
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
	before := e
	fields := map[string]string{}
	if method == http.MethodPut || rapid.Bool().Draw(t, "rename") {
		if e.Name == "" || rapid.IntRange(0, 3).Draw(t, "keep the name") > 0 {
			e.Name = m.name()
		}
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
		t.Fatalf("got %v", err)
	}
	problem := m.problem(id, matches, email)
	position := m.position
	a := m.write(t, method, "/users/"+id, string(body), headers, http.StatusOK, problem)
	if problem != "" {
		return
	}
	// The members of this body are in alphabetical order, unlike those of a created entity. A
	// different order is a change. A write with a key is always a change.
	reordered := method == http.MethodPut && strings.Index(before.body, `"name"`) < strings.Index(before.body, `"email"`)
	if e == before && !reordered && !a.keyed {
		if a.body != before.body || a.etag != fmt.Sprintf(`"%d"`, before.Version) {
			t.Fatalf("a change of nothing: got %+v, want the unchanged %+v", a, before)
		}
		return
	}
	if a.position <= position {
		t.Fatalf("a change: got position %d, want one after %d", a.position, position)
	}
	e.Version++
	m.keep(t, a, e)
}

func (m *machine) remove(t *rapid.T) {
	id := m.id(t)
	headers, matches := m.match(t, id)
	problem := m.problem(id, matches, "")
	m.write(t, http.MethodDelete, "/users/"+id, "", headers, http.StatusNoContent, problem)
	if problem == "" {
		delete(m.entities, id)
		m.gone = append(m.gone, id)
		m.past[id] = append(m.past[id], entity{})
	}
}

// restore makes an earlier version of an entity the current one. The entity may be deleted.
func (m *machine) restore(t *rapid.T) {
	id := m.id(t)
	past, now := m.past[id], m.entities[id]
	version := rapid.IntRange(1, len(past)+1).Draw(t, "version")
	var headers []string
	matches := true
	if d := rapid.IntRange(-1, 2).Draw(t, "match"); d < 2 {
		headers, matches = []string{fmt.Sprintf(`If-Match: "%d"`, len(past)+d)}, d == 0
	}
	want, problem := entity{}, ""
	if version <= len(past) {
		want = past[version-1]
	}
	holder := m.holder(want.Email)
	switch {
	case want.Version == 0:
		problem = "not-found" // there is no such version, or it is a deletion
	case !matches:
		problem = "version-mismatch"
	case holder != "" && holder != id:
		problem = "unique-taken"
	}
	position := m.position
	a := m.write(t, http.MethodPost, "/users/"+id+"/restore", fmt.Sprintf(`{"version":%d}`, version), headers, http.StatusOK, problem)
	switch {
	case problem != "":
	case want.document() == now.document() && !a.keyed:
		if a.body != now.body || a.etag != fmt.Sprintf(`"%d"`, now.Version) {
			t.Fatalf("a restore of the same document: got %+v, want the unchanged %+v", a, now)
		}
	case a.position <= position:
		t.Fatalf("a restore: got position %d, want one after %d", a.position, position)
	default:
		want.Version = int64(len(past)) + 1
		m.keep(t, a, want)
	}
}

func (m *machine) read(t *rapid.T) {
	id, n, asked := m.id(t), m.node(t), m.consistency(t)
	a := do(n, http.MethodGet, "/users/"+id, "", asked...)
	e, found := m.entities[id]
	if found && (a.status != http.StatusOK || a.body != e.body || a.etag != fmt.Sprintf(`"%d"`, e.Version)) || !found && a.problem != "not-found" {
		t.Fatalf("%s shows %+v, want %+v", n.name, a, e)
	}
	if given := strings.TrimPrefix(append(asked, "strong")[0], "Clusterlite-Consistency: "); a.label != given {
		t.Fatalf("%s: got consistency %q, want that of %q", n.name, a.label, asked)
	}
	if a.position < m.position {
		t.Fatalf("%s: got position %d, want at least the acknowledged %d", n.name, a.position, m.position)
	}
}

// list reads all entities in the order of their ids, or those with an address. Like uniqueness,
// the comparison of addresses ignores case.
func (m *machine) list(t *rapid.T) {
	query, chosen := "", slices.Sorted(maps.Keys(m.entities))
	if rapid.Bool().Draw(t, "filter") {
		email := m.email(t)
		query = "&email=" + email
		chosen = slices.DeleteFunc(chosen, func(id string) bool { return !strings.EqualFold(m.entities[id].Email, email) })
	}
	var bodies []string
	for _, id := range chosen {
		bodies = append(bodies, m.entities[id].body)
	}
	n := m.node(t)
	a := do(n, http.MethodGet, "/users?limit=100&sort=id"+query, "", m.consistency(t)...)
	var got []json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("got %v: %s, want a list", err, a.body)
	}
	for i := range max(len(got), len(bodies)) {
		if i >= len(got) || i >= len(bodies) || string(got[i]) != bodies[i] {
			t.Fatalf("%s lists %s, want %s", n.name, a.body, bodies)
		}
	}
}

// retry sends a request again with the same key. The store must repeat the first outcome. With
// a different body, the store must reject the request.
func (m *machine) retry(t *rapid.T) {
	if len(m.keys) == 0 {
		t.Skip("there is no request to repeat")
	}
	k := m.keys[rapid.SampledFrom(slices.Sorted(maps.Keys(m.keys))).Draw(t, "key")]
	n := m.node(t)
	if k.method != http.MethodDelete && rapid.IntRange(0, 3).Draw(t, "other") == 0 {
		if a := do(n, k.method, k.path, k.body+" ", k.headers...); a.problem != "idempotency-key-reused" {
			t.Fatalf("another request with a key on %s: got %+v, want idempotency-key-reused", n.name, a)
		}
		return
	}
	if a := do(n, k.method, k.path, k.body, k.headers...); a != k.answer {
		t.Fatalf("%s %s again on %s: got %+v, want the first answer, %+v", k.method, k.path, n.name, a, k.answer)
	}
}

// race lets a client at each node create an entity with the same address at the same time.
// Exactly one must succeed.
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
			t.Fatalf("a race for %s: got the unexpected answers %+v", e.Email, answers)
		}
	}
	if free {
		t.Fatalf("a race for %s: got no winner, want one: %+v", e.Email, answers)
	}
}

// importLines creates several entities with one import. Each line is independent.
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
			t.Fatalf("got %v: %s, want a result", err, line)
		}
		if want[i] == (entity{}) {
			if result.Status != http.StatusConflict {
				t.Fatalf("line %d gives %s, want a conflict", i+1, line)
			}
			continue
		}
		if result.Status != http.StatusCreated {
			t.Fatalf("line %d: got %s, want 201", i+1, line)
		}
		shown := do(m.node(t), http.MethodGet, "/users/"+result.ID, "")
		m.position = max(m.position, shown.position)
		m.keep(t, shown, want[i])
	}
}
