package auth_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// The collections of the matrix: notes of tenants, pages that everyone may read, and drafts that
// only their owner may read. users has no rules.
var ruledCollections = map[string]string{
	"notes": `{"title":"notes","type":"object","additionalProperties":false,"required":["text","tenant","owner"],
		"x-access":{
			"read":"old.tenant == auth.claims.tenant",
			"create":"'writer' in auth.roles && new.tenant == auth.claims.tenant",
			"update":"'writer' in auth.roles && old.tenant == auth.claims.tenant && new.tenant == old.tenant",
			"delete":"'writer' in auth.roles && old.tenant == auth.claims.tenant"},
		"properties":{
			"tenant":{"type":"string","x-default":"auth.claims.tenant","x-index":true},
			"owner":{"type":"string","x-default":"auth.sub"},
			"text":{"type":"string","x-search":true},
			"code":{"type":"string","x-unique":true}}}`,
	"pages": `{"title":"pages","type":"object","required":["text"],"x-access":{"read":"true"},"properties":{"text":{"type":"string"}}}`,
	"drafts": `{"title":"drafts","type":"object","required":["text"],
		"x-access":{"read":"old.owner == auth.sub","create":"auth != null","update":"old.owner == auth.sub","delete":"old.owner == auth.sub"},
		"properties":{"owner":{"type":"string","x-default":"auth.sub"},"text":{"type":"string","x-search":true}}}`,
}

// The read models of the matrix: one that writers may read, and one for administrators alone.
var ruledModels = map[string]string{
	"drafting": "-- access: 'writer' in auth.roles\n\n" + modelOfNotes,
	"all":      modelOfNotes,
}

const modelOfNotes = `CREATE TABLE texts (id TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;

-- on: notes.created, notes.updated
INSERT OR REPLACE INTO texts VALUES (:id, :document ->> 'text');
`

// operatorToken is the credential of operators for the admin listener. The API does not accept it.
const operatorToken = "operators-and-nodes-only"

// what each identity may do: read, create, update and delete. An empty text means that it may do
// nothing, whatever an entity holds, and a missing letter that the given entity does not allow it.
type powers map[string]string

type identity struct {
	authorization string
	valid         bool
	powers        powers
}

// ruledRig is a store with rules and an entity in each collection. Each holds the secret.
type ruledRig struct {
	*rig
	identities map[string]identity
	entities   map[string]string // the id of the entity in each collection
	admin      string
}

func newRuledRig(t *testing.T) *ruledRig {
	t.Helper()
	dir := t.TempDir()
	for name, schema := range ruledCollections {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, model := range ruledModels {
		if err := os.WriteFile(filepath.Join(dir, name+".sql"), []byte(model), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &ruledRig{rig: &rig{provider: cluster.NewIdentityProvider(t, nil)}, entities: map[string]string{}}
	r.Process = cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_AUTH_JWKS": r.provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
		"CLUSTERLITE_COLLECTIONS": dir, "CLUSTERLITE_MODELS_DIR": dir, "CLUSTERLITE_ADMIN_TOKEN": operatorToken,
	})
	r.Start()
	r.AwaitReady()
	token := func(name, tenant string, roles ...string) string {
		return "Bearer " + r.provider.Token(t, name, map[string]any{"tenant": tenant, "roles": roles})
	}
	all := powers{"notes": "rcud", "pages": "rcud", "drafts": "rcud", "users": "rcud", "models/drafting": "r", "models/all": "r"}
	r.admin = token("root", "none", "admin")
	stranger := cluster.NewIdentityProvider(t, nil)
	r.identities = map[string]identity{
		"anonymous":     {"", true, powers{"pages": "r"}},
		"wrong token":   {"Bearer " + stranger.Token(t, "ada", map[string]any{"tenant": "a", "roles": []string{"admin"}}), false, nil},
		"expired token": {"Bearer " + r.provider.Token(t, "ada", map[string]any{"roles": []string{"admin"}, "exp": time.Now().Add(-time.Hour).Unix()}), false, nil},
		"other tenant":  {token("eve", "b", "writer"), true, powers{"notes": "c", "pages": "r", "drafts": "c", "users": "rcud", "models/drafting": "r"}},
		"reader":        {token("rob", "a", "reader"), true, powers{"notes": "r", "pages": "r", "drafts": "c", "users": "rcud"}},
		"writer":        {token("ada", "a", "writer"), true, powers{"notes": "rcud", "pages": "r", "drafts": "rcud", "users": "rcud", "models/drafting": "r"}},
		"operator":      {"Bearer " + operatorToken, false, nil},
		"administrator": {r.admin, true, all},
	}
	return r
}

// refill creates a new entity in each collection, because operations delete them.
func (r *ruledRig) refill(t *testing.T) {
	t.Helper()
	for name, by := range map[string]string{"notes": "writer", "pages": "administrator", "drafts": "writer", "users": "administrator"} {
		if id := r.entities[name]; id != "" {
			if status, _, _ := r.send(t, http.MethodGet, "/"+name+"/"+id, "", r.admin); status == http.StatusOK {
				continue
			}
		}
		body := `{"text":"` + secret + `"}`
		switch name {
		case "notes":
			body = `{"text":"` + secret + `","code":"taken"}`
		case "users":
			body = `{"name":"` + secret + `","email":"ada@example.com"}`
		}
		status, header, text := r.send(t, http.MethodPost, "/"+name, body, r.identities[by].authorization)
		if status != http.StatusCreated {
			t.Fatalf("create in %s: got %d %s, want 201", name, status, text)
		}
		r.entities[name] = strings.TrimPrefix(header.Get("Location"), "/"+name+"/")
	}
}

var needed = map[string]string{"GET": "r", "HEAD": "r", "POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}

const missing = "01999999-0000-7000-8000-000000000000"

// want returns the status class of a request, by the rules: 2 for success.
func (i identity) want(collection, method string, exists bool) []int {
	powers := i.powers[collection]
	can := strings.Contains(powers, needed[method])
	denied := []int{http.StatusForbidden}
	if i.authorization == "" || !i.valid {
		denied = []int{http.StatusUnauthorized}
	}
	switch {
	case !i.valid, powers == "":
		return denied
	case method == http.MethodPost:
		if can {
			return []int{http.StatusCreated}
		}
		return denied
	case !strings.Contains(powers, "r"):
		return []int{http.StatusNotFound} // hidden, like a missing one
	case !can && exists:
		return denied
	case !can:
		return append(denied, http.StatusNotFound)
	case !exists:
		return []int{http.StatusNotFound}
	case method == http.MethodDelete:
		return []int{http.StatusNoContent}
	}
	return []int{http.StatusOK}
}

// bodies returns a valid body for a method.
func bodyFor(collection, method string, n int) string {
	text := fmt.Sprintf(`"text":"new %d"`, n)
	if collection == "users" {
		text = fmt.Sprintf(`"name":"new","email":"n%d@example.com"`, n)
	}
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return "{" + text + "}"
	}
	return ""
}

// Every operation of /openapi.json by every identity has the outcome that the rules give it. A
// caller who may not read an entity gets the same response as for one that does not exist, and
// no response shows what it holds.
func TestMatrix(t *testing.T) {
	r := newRuledRig(t)
	d := r.describe(t)
	requests, models := 0, 0
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		collection, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if collection == "models" {
			models++
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for name, who := range r.identities {
					r.refill(t)
					r.checkModel(t, name, who, "models/"+strings.Split(rest, "/")[0], method, path)
				}
			}
			continue
		}
		if _, ruled := ruledCollections[collection]; !ruled && collection != "users" {
			continue
		}
		var methods []string
		for method := range d.Paths[path] {
			if method != "parameters" {
				methods = append(methods, strings.ToUpper(method))
			}
		}
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		for _, method := range methods {
			for name, who := range r.identities {
				r.refill(t)
				requests++
				if strings.HasSuffix(path, "/restore") {
					r.checkRestore(t, name, who, collection)
				} else if strings.HasSuffix(path, "/changes") || strings.Contains(path, "/versions") {
					r.checkPast(t, name, who, collection, method, path)
				} else if strings.Contains(path, "{id}") {
					r.checkEntity(t, name, who, collection, method, requests)
				} else {
					r.checkCollection(t, name, who, collection, method, requests)
				}
			}
		}
	}
	if said := r.Output(); strings.Count(said, "members without an index") != 1 || !strings.Contains(said, "collection=drafts members=[owner]") {
		t.Errorf("got %s, want a warning about the owner of drafts, which has no index", said)
	}
	if requests < 8*4*8-10 || models != len(ruledModels) {
		t.Errorf("got %d requests and %d read models, want more: the description lacks operations", requests, models)
	}
}

func (r *ruledRig) checkEntity(t *testing.T, name string, who identity, collection, method string, n int) {
	t.Helper()
	body, id := bodyFor(collection, method, n), r.entities[collection]
	readable := who.valid && strings.Contains(who.powers[collection], "r")
	for _, fields := range [][]string{{"If-Match", `"77"`}, {"If-Match", `"1"`}, {"If-None-Match", `"1"`}, {"If-None-Match", "*"}, {"If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, {"Accept", "text/html"}} {
		if readable {
			break // only hidden entities must look like missing ones
		}
		at := ""
		if body == "" && method != http.MethodDelete && fields[0] == "Accept" {
			at = "?at=" + r.position(t)
		}
		there, thereHeader, thereBody := r.send(t, method, "/"+collection+"/"+id+at, body, who.authorization, fields...)
		gone, goneHeader, goneBody := r.send(t, method, "/"+collection+"/"+missing+at, body, who.authorization, fields...)
		if there != gone || !slices.Equal(fieldsOf(thereHeader), fieldsOf(goneHeader)) || withoutInstance(thereBody) != withoutInstance(goneBody) {
			t.Errorf("%s: %s %s %v: a hidden entity differs from a missing one: %d %v %s, and %d %v %s", name, method, collection, fields,
				there, fieldsOf(thereHeader), thereBody, gone, fieldsOf(goneHeader), goneBody)
		}
	}
	if method == http.MethodGet || method == http.MethodHead { // the past obeys the rules as the present does
		status, header, text := r.send(t, method, "/"+collection+"/"+id+"?at="+r.position(t), "", who.authorization)
		if want := who.want(collection, method, true); !slices.Contains(want, status) {
			t.Errorf("%s: %s of %s in the past: got %d %s, want %v", name, method, collection, status, text, want)
		}
		r.checkResponse(t, name+": "+method+" "+collection+"?at", readable, status, header, text)
	}
	for exists, id := range map[bool]string{false: missing, true: id} {
		status, header, text := r.send(t, method, "/"+collection+"/"+id, body, who.authorization)
		if want := who.want(collection, method, exists); !slices.Contains(want, status) {
			t.Errorf("%s: %s of %s, which exists: %t: got %d %s, want %v", name, method, collection, exists, status, text, want)
		}
		r.checkResponse(t, name+": "+method+" "+collection, readable, status, header, text)
	}
}

// position returns a position at which the entities exist.
func (r *ruledRig) position(t *testing.T) string {
	t.Helper()
	_, header, _ := r.send(t, http.MethodGet, "/pages?limit=1", "", r.admin)
	position := header.Get("Clusterlite-Position")
	if position == "" {
		t.Fatal("got a list without its position")
	}
	return position
}

func (r *ruledRig) checkCollection(t *testing.T, name string, who identity, collection, method string, n int) {
	t.Helper()
	readable := who.valid && strings.Contains(who.powers[collection], "r")
	member := map[string]string{"users": "name"}[collection]
	if member == "" {
		member = "text"
	}
	queries := []string{""}
	if method == http.MethodPost {
		r.checkImport(t, name, who, collection, n)
	} else if !readable {
		r.checkProbes(t, name, who, collection, method, member)
	}
	if method != http.MethodPost && strings.Contains(ruledCollections[collection], "x-search") {
		queries = append(queries, "?q=Lovelace", "?q=Lovelace&limit=1&fields=text", "?q=Love*&highlight=true")
	}
	if method != http.MethodPost {
		queries = append(queries, "?at="+r.position(t), "?at="+r.position(t)+"&limit=1", "?count=true", "?limit=1&sort=-created_at", "?"+member+"[prefix]=Love&count=true", "?"+member+"="+secret, "?fields="+member, "?id[in]="+r.entities[collection]+"&count=true", "?sort="+member+"&created_at[gt]=2020-01-01T00:00:00Z")
	}
	for _, query := range queries {
		for _, fields := range [][]string{nil, {"Accept", "application/x-ndjson"}, {"If-None-Match", "*"}} {
			if method == http.MethodPost && fields != nil {
				continue
			}
			if fields != nil && strings.Contains(query, "?q=") {
				continue // a search has one media type
			}
			status, header, text := r.send(t, method, "/"+collection+query, bodyFor(collection, method, n), who.authorization, fields...)
			want := who.want(collection, method, true)
			if strings.Contains(query, "?q=") && method == http.MethodGet && readable && !strings.Contains(text, r.entities[collection]) && !strings.Contains(query, "fields") {
				t.Errorf("%s: %s /%s%s: got %d %s, want the entity that the caller may read", name, method, collection, query, status, text)
			}
			if method != http.MethodPost {
				want = []int{http.StatusOK, http.StatusNotModified}
				if len(who.powers[collection]) == 0 {
					want = who.want(collection, method, true)
				}
				if who.valid && collection != "pages" && who.powers[collection] == "c" && status == http.StatusOK && method == http.MethodGet {
					// A hidden entity is not in the list, not counted, and has no page of its own.
					if strings.Contains(text, r.entities[collection]) || strings.Contains(query, "id[in]") && header.Get("Total-Count") != "0" {
						t.Errorf("%s: %s /%s%s %v: got %s and a count of %s, want the entity hidden", name, method, collection, query, fields, text, header.Get("Total-Count"))
					}
				}
			}
			if !slices.Contains(want, status) {
				t.Errorf("%s: %s /%s%s %v: got %d %s, want %v", name, method, collection, query, fields, status, text, want)
			}
			r.checkResponse(t, name+": "+method+" "+collection+query, readable, status, header, text)
		}
	}
}

// checkProbes compares lists that filter by a value of a hidden entity with those that filter by a
// value that no entity has.
func (r *ruledRig) checkProbes(t *testing.T, name string, who identity, collection, method, member string) {
	t.Helper()
	probes := []string{"?" + member + "=%s", "?" + member + "[prefix]=%s&count=true", "?" + member + "[in]=%s,x&sort=-updated_at", "?" + member + "[gte]=%[1]s&" + member + "[lte]=%[1]s&count=true"}
	if strings.Contains(ruledCollections[collection], "x-search") {
		probes = append(probes, "?q=%s")
	}
	for _, probe := range probes {
		hit, hitHeader, hitBody := r.send(t, method, "/"+collection+fmt.Sprintf(probe, secret), "", who.authorization)
		miss, missHeader, missBody := r.send(t, method, "/"+collection+fmt.Sprintf(probe, "Nobody-0000"), "", who.authorization)
		if hit != miss || !slices.Equal(fieldsOf(hitHeader), fieldsOf(missHeader)) || withoutInstance(hitBody) != withoutInstance(missBody) {
			t.Errorf("%s: %s %s%s: a value of a hidden entity differs from one that no entity has: %d %v %s, and %d %v %s", name, method, collection, probe,
				hit, fieldsOf(hitHeader), hitBody, miss, fieldsOf(missHeader), missBody)
		}
	}
}

// checkImport imports two entities. In collections with unique values, the one of the second is taken.
func (r *ruledRig) checkImport(t *testing.T, name string, who identity, collection string, n int) {
	t.Helper()
	taken := bodyFor(collection, http.MethodPost, 200_000+n)
	switch collection {
	case "notes":
		taken = `{"text":"x","code":"taken"}`
	case "users":
		taken = `{"name":"x","email":"ada@example.com"}`
	}
	status, header, text := r.send(t, http.MethodPost, "/"+collection, bodyFor(collection, http.MethodPost, 100_000+n)+"\n"+taken+"\n", who.authorization, "Content-Type", "application/x-ndjson")
	created := strings.Count(text, `"status":201`)
	switch can := strings.Contains(who.powers[collection], "c"); {
	case !can:
		if want := who.want(collection, http.MethodPost, true); !slices.Contains(want, status) && (status != http.StatusOK || created > 0) {
			t.Errorf("%s: import into %s: got %d %s, want %v or nothing created", name, collection, status, text, want)
		}
	case status != http.StatusOK || created < 1:
		t.Errorf("%s: import into %s: got %d %s, want the first line created", name, collection, status, text)
	}
	readable := who.valid && strings.Contains(who.powers[collection], "r")
	if !readable && strings.Contains(text, r.entities[collection]) {
		t.Errorf("%s: import into %s: the result names a hidden entity: %s", name, collection, text)
	}
	r.checkResponse(t, name+": import into "+collection, readable, status, header, strings.NewReplacer("already taken", "", "unique-taken", "").Replace(text))
}

// checkModel reads a relation of a read model, which has its own rule.
func (r *ruledRig) checkModel(t *testing.T, name string, who identity, model, method, path string) {
	t.Helper()
	readable := who.valid && strings.Contains(who.powers[model], "r")
	want := []int{http.StatusOK}
	switch {
	case who.authorization == "" || !who.valid:
		want = []int{http.StatusUnauthorized}
	case !readable:
		want = []int{http.StatusForbidden}
	}
	all := [][]string{nil, {"Accept", "application/x-ndjson"}, {"If-None-Match", "*"}}
	if !readable || method == http.MethodHead {
		all = append(all, []string{"Accept", "text/event-stream"}) // which would not end for a while
	}
	for _, query := range []string{"", "?limit=1", "?text[prefix]=Love", "?count=true"} {
		for _, fields := range all {
			status, header, text := r.send(t, method, path+query, "", who.authorization, fields...)
			if readable && (status == http.StatusNotModified || status == http.StatusBadRequest) && query+fmt.Sprint(fields) != "[]" {
				continue
			}
			if !slices.Contains(want, status) {
				t.Errorf("%s: %s %s%s %v: got %d %s, want %v", name, method, path, query, fields, status, text, want)
			}
			if readable && method == http.MethodGet && !strings.Contains(text, secret) && query == "" {
				t.Errorf("%s: %s %s: got %s, want the rows", name, method, path, text)
			}
			r.checkResponse(t, name+": "+method+" "+path+query, readable, status, header, text)
		}
	}
}

// checkResponse checks what every response must have, and must not have.
func (r *ruledRig) checkResponse(t *testing.T, what string, readable bool, status int, header http.Header, text string) {
	t.Helper()
	if !readable && (strings.Contains(text, secret) || strings.Contains(text, "taken") || strings.Contains(text, "ada@example.com")) {
		t.Errorf("%s: the response shows a hidden entity: %s", what, text)
	}
	if status == http.StatusUnauthorized && header.Get("WWW-Authenticate") == "" {
		t.Errorf("%s: got a 401 without WWW-Authenticate", what)
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound {
		for _, field := range []string{"ETag", "Total-Count", "Link", "Location", "Last-Modified"} {
			if header.Get(field) != "" {
				t.Errorf("%s: got %d with the header field %s", what, status, field)
			}
		}
	}
}

// fieldsOf returns the header fields that a client could compare. The position moves with every
// write to the store.
func fieldsOf(h http.Header) (fields []string) {
	for name, values := range h {
		switch name {
		case "Date", "X-Request-Id", "Clusterlite-Position", "Content-Length":
		default:
			fields = append(fields, name+": "+strings.Join(values, ","))
		}
	}
	slices.Sort(fields)
	return fields
}

func withoutInstance(body string) string {
	var p map[string]any
	if json.Unmarshal([]byte(body), &p) != nil {
		return body
	}
	delete(p, "instance")
	return fmt.Sprint(p)
}

// A list says nothing about entities that its reader may not read: not in its tag, its count, its
// pages or its cursors, even after they change.
func TestListsDoNotRevealChangesOfHiddenEntities(t *testing.T) {
	r := newRuledRig(t)
	r.refill(t)
	eve, ada := r.identities["other tenant"].authorization, r.identities["writer"].authorization
	for i := range 3 {
		if status, _, text := r.send(t, http.MethodPost, "/notes", fmt.Sprintf(`{"text":"mine %d"}`, i), eve); status != http.StatusCreated {
			t.Fatalf("got %d %s, want 201", status, text)
		}
	}
	seen := func() (all []string) {
		for _, query := range []string{"", "?count=true", "?limit=2", "?limit=2&sort=-text&count=true", "?text[gte]=L"} {
			for _, fields := range [][]string{nil, {"Accept", "application/x-ndjson"}} {
				status, header, text := r.send(t, http.MethodGet, "/notes"+query, "", eve, fields...)
				if status != http.StatusOK || strings.Count(text, `"mine `) == 0 {
					t.Fatalf("%s: got %d %s, want some notes", query, status, text)
				}
				all = append(all, fmt.Sprint(query, fields, fieldsOf(header), text))
			}
		}
		return all
	}
	before := seen()
	_, header, _ := r.send(t, http.MethodGet, "/notes", "", eve)
	tag := header.Get("ETag")
	for i := range 5 {
		if status, _, _ := r.send(t, http.MethodPost, "/notes", fmt.Sprintf(`{"text":"Lz %d"}`, i), ada); status != http.StatusCreated {
			t.Fatalf("got %d, want 201", status)
		}
	}
	r.send(t, http.MethodDelete, "/notes/"+r.entities["notes"], "", ada)
	after := seen()
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("a response changed with a hidden entity:\nbefore %s\nafter  %s", before[i], after[i])
		}
	}
	if status, _, _ := r.send(t, http.MethodGet, "/notes", "", eve, "If-None-Match", tag); status != http.StatusNotModified {
		t.Errorf("with the tag of the list: got %d, want 304", status)
	}
	if status, _, _ := r.send(t, http.MethodGet, "/notes", "", ada, "If-None-Match", tag); status != http.StatusOK {
		t.Errorf("another caller with the tag of the list: got %d, want 200", status)
	}
}

// Who owns an entity, and to which tenant it belongs, follows from the token. A client can neither
// forge it in a create or an import, nor change it later.
func TestOwnershipCannotBeForged(t *testing.T) {
	r := newRuledRig(t)
	eve, ada := r.identities["other tenant"].authorization, r.identities["writer"].authorization
	const forged = `{"text":"x","owner":"root","tenant":"a"}`
	status, header, text := r.send(t, http.MethodPost, "/notes", forged, eve)
	if status != http.StatusCreated || !strings.Contains(text, `"owner":"eve"`) || !strings.Contains(text, `"tenant":"b"`) {
		t.Fatalf("POST: got %d %s, want a note of eve in b", status, text)
	}
	path := header.Get("Location")
	for method, body := range map[string]string{http.MethodPut: forged, http.MethodPatch: `{"owner":"root","tenant":"a","text":"y"}`} {
		status, _, text := r.send(t, method, path, body, eve)
		if status != http.StatusOK || !strings.Contains(text, `"owner":"eve"`) || !strings.Contains(text, `"tenant":"b"`) {
			t.Errorf("%s: got %d %s, want the owner and the tenant unchanged", method, status, text)
		}
	}
	if status, _, text := r.send(t, http.MethodPatch, path, `{"owner":null}`, eve); status != http.StatusOK || !strings.Contains(text, `"owner":"eve"`) {
		t.Errorf("PATCH with null: got %d %s, want the owner unchanged", status, text)
	}
	_, _, text = r.send(t, http.MethodPost, "/notes", forged+"\n"+`{"text":"z","code":"c"}`+"\n", eve, "Content-Type", "application/x-ndjson")
	if strings.Count(text, `"status":201`) != 2 {
		t.Errorf("import: got %s, want two notes", text)
	}
	if _, _, text := r.send(t, http.MethodGet, "/notes", "", ada); text != "[]" {
		t.Errorf("the other tenant: got %s, want nothing", text)
	}
	// An administrator may give an entity to someone.
	if status, _, text := r.send(t, http.MethodPatch, path, `{"owner":"ada","tenant":"a"}`, r.admin); status != http.StatusOK || !strings.Contains(text, `"owner":"ada"`) {
		t.Errorf("an administrator: got %d %s, want another owner", status, text)
	}
	if status, _, _ := r.send(t, http.MethodGet, path, "", ada); status != http.StatusOK {
		t.Errorf("the new owner: got %d, want 200", status)
	}
}

// A unique value of a hidden entity is taken, and the response does not reveal which entity holds it.
// The response to a caller who may not create entities does not reveal that the value is taken.
func TestUniqueValuesOfHiddenEntities(t *testing.T) {
	r := newRuledRig(t)
	r.refill(t)
	const body = `{"text":"x","code":"taken"}`
	for name, want := range map[string]int{"other tenant": http.StatusConflict, "reader": http.StatusForbidden, "anonymous": http.StatusUnauthorized} {
		status, _, text := r.send(t, http.MethodPost, "/notes", body, r.identities[name].authorization)
		if status != want || strings.Contains(text, r.entities["notes"]) || strings.Contains(text, secret) {
			t.Errorf("%s: got %d %s, want %d without the holder", name, status, text, want)
		}
		status, _, text = r.send(t, http.MethodPost, "/notes", body+"\n"+body+"\n", r.identities[name].authorization, "Content-Type", "application/x-ndjson")
		if strings.Contains(text, r.entities["notes"]) || strings.Contains(text, secret) || status == http.StatusOK && strings.Count(text, fmt.Sprintf(`"status":%d`, want)) != 2 {
			t.Errorf("%s, import: got %d %s, want %d without the holder", name, status, text, want)
		}
	}
}

// A response is repeated only to its caller, and only while the rules still allow the request.
func TestReplaysObeyTheRules(t *testing.T) {
	r := newRuledRig(t)
	r.refill(t)
	token := func(name, tenant string, roles ...string) string {
		return "Bearer " + r.provider.Token(t, name, map[string]any{"tenant": tenant, "roles": roles})
	}
	path := "/notes/" + r.entities["notes"]
	for _, c := range []struct{ method, path, body string }{{http.MethodPost, "/notes", `{"text":"` + secret + `"}`}, {http.MethodPatch, path, `{"text":"` + secret + ` again"}`}} {
		key := []string{"Idempotency-Key", "key-" + c.method}
		first, _, firstText := r.send(t, c.method, c.path, c.body, token("ada", "a", "writer"), key...)
		again, _, againText := r.send(t, c.method, c.path, c.body, token("ada", "a", "writer"), key...)
		if first/100 != 2 || again != first || againText != firstText {
			t.Fatalf("%s: got %d and %d, %s; want the first response again", c.method, first, again, againText)
		}
		for name, authorization := range map[string]string{
			"another caller": token("eve", "b", "writer"), "the caller without its role": token("ada", "a", "reader"), "the caller in another tenant": token("ada", "b", "writer"),
		} {
			status, _, text := r.send(t, c.method, c.path, c.body, authorization, key...)
			if text == firstText || status == first && strings.Contains(text, `"tenant":"a"`) || c.method == http.MethodPatch && strings.Contains(text, secret) {
				t.Errorf("%s: %s: got %d %s, want no replay", c.method, name, status, text)
			}
		}
	}
}
