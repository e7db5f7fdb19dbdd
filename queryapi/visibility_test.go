package queryapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// newRuledFeed returns a node with notes that only their owner may read. The header field X-User
// names the caller.
func newRuledFeed(t *testing.T) node {
	t.Helper()
	set := ownedNotes(t)
	rules, err := access.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	model := servicetest.OpenModel(t, log, set).Follow()
	return node{ruledServer(log, model, set, rules), t, b, log, model}
}

// ownedNotes are notes that only their owner may read.
func ownedNotes(t *testing.T) *collections.Set {
	t.Helper()
	dir := t.TempDir()
	schema := `{"title":"notes","type":"object","x-access":{"read":"old.owner == auth.sub"},"properties":{"owner":{"type":"string"},"text":{"type":"string"}}}`
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// ruledServer serves a model under rules. The header field X-User names the caller.
func ruledServer(log *eventlog.Log, model *servicetest.Model, set *collections.Set, rules *access.Policies) http.Handler {
	a := &queryapi.API{
		Log: log, Model: model.Projection, Collections: set, Access: rules, Secured: true,
		Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute,
	}
	e := servicetest.Echo(web.Options{Callers: func(r *http.Request) (caller.Caller, error) {
		return caller.Caller{Name: r.Header.Get("X-User")}, nil
	}})
	contract.Mount(e, a.Routes())
	return e
}

func (n node) writeNote(id string, kind events.Kind, version int64, owner string) {
	n.t.Helper()
	e := events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "notes", EntityID: id, Kind: kind, Version: version,
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
	if kind != events.Deleted {
		e.Document = fmt.Appendf(nil, `{"owner":%q,"text":"secret of %s"}`, owner, owner)
	}
	if _, err := n.log.Append(servicetest.Context(n.t), e); err != nil {
		n.t.Fatal(err)
	}
}

// A rule that does not use created_at needs no earlier version of the entity. So a node whose journal
// begins after the creation shows later events.
func TestRulesOfEventsWithoutTheFirstVersion(t *testing.T) {
	set := ownedNotes(t)
	rules, err := access.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	b, dir, id := servicetest.StartBroker(t), t.TempDir(), uuid.NewString()
	log := b.OpenLog()
	if _, err := log.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	was := servicetest.OpenModelIn(t, dir, log, set).Follow()
	n := node{ruledServer(log, was, set, rules), t, b, log, was}
	n.writeNote(id, events.Created, 1, "ada")
	n.get("/notes/"+id, 200, "X-User: ada")
	was.Stop()
	if err := was.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*", "*.events"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("got %v, %v, want the files of the journal", segments, err)
	}
	for _, segment := range segments {
		if err := os.Remove(segment); err != nil {
			t.Fatal(err)
		}
	}
	is := servicetest.OpenModelIn(t, dir, log, set).Follow()
	n = node{ruledServer(log, is, set, rules), t, b, log, is}
	n.writeNote(id, events.Updated, 2, "ada")
	for user, want := range map[string][]string{"ada": {"2"}, "eve": nil} {
		if got, _ := n.changesAs(user, "/notes/changes?offset="+changes.FormatOffset(1)); !slices.Equal(positions(got), want) {
			t.Errorf("%s: got positions %v, want %v", user, positions(got), want)
		}
	}
}

// Feeds and histories obey the rule for reading: an event shows the entity that it left, and a
// deletion the one before it.
func TestEventsObeyTheReadRule(t *testing.T) {
	n := newRuledFeed(t)
	id := uuid.NewString()
	n.writeNote(id, events.Created, 1, "ada")
	n.writeNote(id, events.Updated, 2, "bob")
	n.writeNote(id, events.Deleted, 3, "")

	for user, want := range map[string][]string{"ada": {"1"}, "bob": {"2", "3"}, "eve": nil} {
		for _, path := range []string{"/changes", "/notes/changes?previous=true"} {
			got, r := n.changesAs(user, path)
			if !slices.Equal(positions(got), want) {
				t.Errorf("%s, %s: got positions %v, want %v", user, path, positions(got), want)
			}
			if vary := r.Header.Get("Vary"); vary == "" {
				t.Errorf("%s, %s: got no Vary, want Authorization", user, path)
			}
			for _, c := range got {
				if user == "bob" && c.Position == "2" && c.Previous != nil && string(c.Previous) != "null" {
					t.Errorf("%s: got the previous document %s, want none of another owner", user, c.Previous)
				}
			}
		}
	}

	// For a caller who may see nothing of it, the entity is like one that does not exist.
	other := uuid.NewString()
	for _, form := range []string{"/notes/%s/versions", "/notes/%s/versions?before=3", "/notes/%s/versions?limit=1", "/notes/%s/versions/1", "/notes/%s/versions/3", "/notes/%s?at=1", "/notes/%s?at=3"} {
		hidden := servicetest.Do(n, "GET", fmt.Sprintf(form, id), "", "X-User: eve", "X-Request-Id: same")
		missing := servicetest.Do(n, "GET", fmt.Sprintf(form, other), "", "X-User: eve", "X-Request-Id: same")
		for _, h := range []http.Header{hidden.Header, missing.Header} {
			h.Del("X-Request-Id")
			h.Del("Date")
		}
		if got, want := servicetest.Body(t, hidden), servicetest.Body(t, missing); hidden.StatusCode != 404 || got != want || fmt.Sprint(hidden.Header) != fmt.Sprint(missing.Header) {
			t.Errorf("%s: got %d %s %v, want %s %v", form, hidden.StatusCode, got, hidden.Header, want, missing.Header)
		}
		if r := servicetest.Do(n, "GET", fmt.Sprintf(form, id), ""); r.StatusCode != 401 {
			t.Errorf("%s, anonymous: got %d, want 401", form, r.StatusCode)
		}
	}
	if r := servicetest.Do(n, "GET", "/notes/"+id+"/versions/1", "", "X-User: ada"); r.StatusCode != 200 {
		t.Errorf("version 1 for its owner: got %d, want 200", r.StatusCode)
	}
	// A list of the past has the entities whose version of then the caller may see.
	for user, want := range map[string][]int{"ada": {1, 0, 0}, "bob": {0, 1, 0}, "eve": {0, 0, 0}} {
		for i, n1 := range want {
			for _, filter := range []string{"", "&text[prefix]=secret"} {
				path := fmt.Sprintf("/notes?at=%d%s", i+1, filter)
				var got []json.RawMessage
				if err := json.Unmarshal([]byte(servicetest.Body(t, n.get(path, 200, "X-User: "+user))), &got); err != nil || len(got) != n1 {
					t.Errorf("%s, %s: got %s, %v, want %d entities", user, path, got, err, n1)
				}
			}
		}
	}
	if r := servicetest.Do(n, "GET", "/notes?at=1", ""); r.StatusCode != 401 {
		t.Errorf("a list of the past without credentials: got %d, want 401", r.StatusCode)
	}
	// A filter does not say more about what the caller may not see.
	for _, text := range []string{"ada", "bob"} {
		if got, _ := n.changesAs("eve", "/notes/changes?owner="+text); len(got) != 0 {
			t.Errorf("got %v, want no changes", got)
		}
	}
	if r := servicetest.Do(n, "GET", "/changes", ""); r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("the feed without credentials: got %d %v, want 401", r.StatusCode, r.Header)
	}
}
