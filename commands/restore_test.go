package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// restoring returns a service for notes. The header field X-User names the caller. history is false
// for a service without a journal.
func restoring(t *testing.T, b *servicetest.Broker, schema string, history bool) http.Handler {
	t.Helper()
	h, _ := restoringBy(t, b, schema, history)
	return h
}

// restoringBy also returns the executor of the service.
func restoringBy(t *testing.T, b *servicetest.Broker, schema string, history bool) (http.Handler, *commands.Executor) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte(`{"title":"notes","type":"object",`+schema+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := access.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	log := b.OpenLog()
	model := servicetest.OpenModel(t, log, set).Follow()
	a := &commands.API{
		Executor:    &commands.Executor{Log: log, Model: model.Projection, Nodes: roster.NewFormats(log), Source: "/test", Wait: 5 * time.Second},
		Collections: set, Access: rules, MaxBody: 1 << 20, SpoolDir: t.TempDir(),
	}
	if history {
		a.Executor.History = model.Projection
	}
	e := servicetest.Echo(web.Options{Callers: func(r *http.Request) (caller.Caller, error) {
		return caller.Caller{Name: r.Header.Get("X-User")}, nil
	}})
	contract.Mount(e, a.Routes())
	return e, a.Executor
}

// written sends a write, and returns the entity and its ETag.
func written(t *testing.T, h http.Handler, method, path, body string, status int, headers ...string) (entity map[string]any, etag string) {
	t.Helper()
	r := servicetest.Do(h, method, path, body, append([]string{"Content-Type: application/json"}, headers...)...)
	text := servicetest.Body(t, r)
	if r.StatusCode != status {
		t.Fatalf("%s %s %s %v: got %d %s, want %d", method, path, body, headers, r.StatusCode, text, status)
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &entity); err != nil {
			t.Fatal(err)
		}
	}
	return entity, r.Header.Get("ETag")
}

const plainNotes = `"x-access":{"read":"true","create":"true","update":"true","delete":"true"},"properties":{"text":{"type":"string","maxLength":20},"code":{"type":"string","x-unique":true}}`

// A restore is a write like a PUT of the earlier document.
func TestRestore(t *testing.T) {
	h := restoring(t, servicetest.StartBroker(t), plainNotes, true)
	note, _ := written(t, h, "POST", "/notes", `{"text":"one","code":"a"}`, 201)
	path := fmt.Sprint("/notes/", note["id"])
	written(t, h, "PUT", path, `{"text":"two","code":"b"}`, 200)

	written(t, h, "POST", path+"/restore", `{"version":1}`, 412, `If-Match: "1"`)
	restored, etag := written(t, h, "POST", path+"/restore", `{"version":1}`, 200, `If-Match: "2"`, "Idempotency-Key: k")
	if restored["text"] != "one" || restored["code"] != "a" || restored["version"] != 3.0 || restored["created_at"] != note["created_at"] || etag != `"3"` {
		t.Errorf("got %v with %s, want version 3 with the document of version 1", restored, etag)
	}
	again, _ := written(t, h, "POST", path+"/restore", `{"version":1}`, 200, `If-Match: "2"`, "Idempotency-Key: k")
	if fmt.Sprint(again) != fmt.Sprint(restored) {
		t.Errorf("a retry: got %v, want %v", again, restored)
	}
	written(t, h, "POST", path+"/restore", `{"version":2}`, 422, "Idempotency-Key: k")

	// Another entity has taken the unique value of version 2.
	written(t, h, "POST", "/notes", `{"text":"other","code":"b"}`, 201)
	if p, _ := written(t, h, "POST", path+"/restore", `{"version":2}`, 409); !strings.HasSuffix(fmt.Sprint(p["type"]), "unique-taken") {
		t.Errorf("got %v, want unique-taken", p)
	}

	for body, status := range map[string]int{
		`{"version":9}`: 404, `{"version":0}`: 422, `{"version":"1"}`: 422, `{"version":1.5}`: 422, `{}`: 422, `[]`: 422, `{"version":1,"x":2}`: 422, `{"version":`: 400, ``: 400,
	} {
		written(t, h, "POST", path+"/restore", body, status)
	}
	written(t, h, "POST", "/notes/0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d/restore", `{"version":1}`, 404)
	written(t, h, "POST", "/notes/x/restore", `{"version":1}`, 404)
	written(t, h, "POST", path+"/restore?x=1", `{"version":1}`, 400)
	if r := servicetest.Do(h, "PUT", path+"/restore", `{}`); r.StatusCode != 405 {
		t.Errorf("PUT: got %d, want 405", r.StatusCode)
	}

	written(t, h, "DELETE", path, "", 204)
	written(t, h, "POST", path+"/restore", `{"version":4}`, 404) // the deletion
}

// A restore brings a deleted entity back, with its id, its age and the next version.
func TestRestoreUndeletes(t *testing.T) {
	b := servicetest.StartBroker(t)
	h, other := restoring(t, b, plainNotes, true), restoring(t, b, plainNotes, true)
	note, _ := written(t, h, "POST", "/notes", `{"text":"one","code":"a"}`, 201)
	path := fmt.Sprint("/notes/", note["id"])
	written(t, h, "PUT", path, `{"text":"two","code":"b"}`, 200)
	written(t, h, "DELETE", path, "", 204)

	// The deletion is the current version. If-Match: * asks for an entity that exists.
	for _, match := range []string{`If-Match: "2"`, `If-Match: "4"`, `If-Match: *`} {
		if p, _ := written(t, h, "POST", path+"/restore", `{"version":1}`, 412, match); !strings.HasSuffix(fmt.Sprint(p["type"]), "version-mismatch") {
			t.Errorf("%s: got %v, want version-mismatch", match, p)
		}
	}
	written(t, h, "POST", path+"/restore", `{"version":3}`, 404) // the deletion
	restored, etag := written(t, h, "POST", path+"/restore", `{"version":1}`, 200, `If-Match: "3"`, "Idempotency-Key: k")
	if restored["id"] != note["id"] || restored["text"] != "one" || restored["version"] != 4.0 || restored["created_at"] != note["created_at"] || etag != `"4"` {
		t.Errorf("got %v with %s, want version 4 with the document of version 1", restored, etag)
	}
	if again, _ := written(t, other, "POST", path+"/restore", `{"version":1}`, 200, `If-Match: "3"`, "Idempotency-Key: k"); fmt.Sprint(again) != fmt.Sprint(restored) {
		t.Errorf("a retry at another service: got %v, want %v", again, restored)
	}
	changed, _ := written(t, other, "PATCH", path, `{"text":"three"}`, 200, "Content-Type: application/merge-patch+json", `If-Match: "4"`)
	if changed["version"] != 5.0 || changed["created_at"] != note["created_at"] {
		t.Errorf("got %v, want version 5 of the same entity", changed)
	}

	// Its unique values are taken again, if they are still free.
	if p, _ := written(t, other, "POST", "/notes", `{"text":"other","code":"a"}`, 409); !strings.HasSuffix(fmt.Sprint(p["type"]), "unique-taken") {
		t.Errorf("got %v, want unique-taken", p)
	}
	written(t, h, "DELETE", path, "", 204)
	written(t, h, "POST", "/notes", `{"text":"other","code":"a"}`, 201)
	if p, _ := written(t, other, "POST", path+"/restore", `{"version":5}`, 409); !strings.HasSuffix(fmt.Sprint(p["type"]), "unique-taken") {
		t.Errorf("a value that another entity has taken: got %v, want unique-taken", p)
	}
	if restored, _ := written(t, other, "POST", path+"/restore", `{"version":2}`, 200); restored["version"] != 7.0 || restored["code"] != "b" {
		t.Errorf("got %v, want version 7 with the document of version 2", restored)
	}
}

// Of several services that bring an entity back at the same time, one does it, and the others restore a
// version of a living entity.
func TestRestoresRace(t *testing.T) {
	b := servicetest.StartBroker(t)
	services := []http.Handler{restoring(t, b, plainNotes, true), restoring(t, b, plainNotes, true), restoring(t, b, plainNotes, true)}
	note, _ := written(t, services[0], "POST", "/notes", `{"text":"one"}`, 201)
	path := fmt.Sprint("/notes/", note["id"])
	written(t, services[0], "DELETE", path, "", 204)
	answers := make(chan string, len(services))
	for i, h := range services {
		go func() {
			answers <- servicetest.Do(h, "POST", path+"/restore", `{"version":1}`, "Content-Type: application/json", fmt.Sprint("Idempotency-Key: ", i)).Header.Get("ETag")
		}()
	}
	seen := map[string]bool{}
	for range services {
		seen[<-answers] = true
	}
	if !seen[`"3"`] || !seen[`"4"`] || !seen[`"5"`] {
		t.Errorf("got the versions %v, want 3, 4 and 5", seen)
	}
}

// No service writes an event that a running node can't read.
func TestRestoreWaitsForOlderNodes(t *testing.T) {
	b := servicetest.StartBroker(t)
	h := restoring(t, b, plainNotes, true)
	note, _ := written(t, h, "POST", "/notes", `{"text":"one"}`, 201)
	path := fmt.Sprint("/notes/", note["id"])
	announce := func(state roster.State, format int) {
		t.Helper()
		if err := roster.Announce(servicetest.Context(t), b.OpenLog(), roster.Entry{Node: "query-1", Role: "query", Version: "v0.9", State: state, At: time.Now(), Format: format}); err != nil {
			t.Fatal(err)
		}
	}
	announce(roster.Running, 0) // as versions do that know only format 1
	written(t, h, "PUT", path, `{"text":"two"}`, 200)
	written(t, h, "POST", path+"/restore", `{"version":1}`, 200)
	written(t, h, "DELETE", path, "", 204)
	p, _ := written(t, h, "POST", path+"/restore", `{"version":1}`, 503)
	if text := fmt.Sprint(p["detail"]); !strings.HasSuffix(fmt.Sprint(p["type"]), "not-ready") || !strings.Contains(text, "Node query-1 runs version v0.9") {
		t.Errorf("got %v, want not-ready with the name of the node", p)
	}
	announce(roster.Left, 0)
	written(t, h, "POST", path+"/restore", `{"version":1}`, 200)
	written(t, h, "DELETE", path, "", 204)
	announce(roster.Running, 2)
	written(t, h, "POST", path+"/restore", `{"version":1}`, 200)
}

// hangingNodes do not answer until the context ends.
type hangingNodes struct{}

func (hangingNodes) Read(ctx context.Context, _ int) error {
	<-ctx.Done()
	return ctx.Err()
}

// While the broker can't say which nodes run, no deleted entity is restored.
func TestRestoreWhileTheBrokerHangs(t *testing.T) {
	h, x := restoringBy(t, servicetest.StartBroker(t), plainNotes, true)
	note, _ := written(t, h, "POST", "/notes", `{"text":"one"}`, 201)
	path := fmt.Sprint("/notes/", note["id"])
	written(t, h, "DELETE", path, "", 204)
	answering := x.Nodes
	x.Nodes, x.Wait = hangingNodes{}, time.Second
	if p, _ := written(t, h, "POST", path+"/restore", `{"version":1}`, 503); !strings.HasSuffix(fmt.Sprint(p["type"]), "broker-unreachable") {
		t.Errorf("got %v, want broker-unreachable", p)
	}
	x.Nodes, x.Wait = answering, 5*time.Second
	written(t, h, "POST", path+"/restore", `{"version":1}`, 200)
}

// The schema of today applies to the restored document.
func TestRestoreValidates(t *testing.T) {
	b := servicetest.StartBroker(t)
	before := restoring(t, b, strings.Replace(plainNotes, `,"maxLength":20`, "", 1), true)
	note, _ := written(t, before, "POST", "/notes", `{"text":"a text of more than twenty characters"}`, 201)
	path := fmt.Sprint("/notes/", note["id"])
	written(t, before, "PUT", path, `{"text":"short"}`, 200)
	p, _ := written(t, restoring(t, b, plainNotes, true), "POST", path+"/restore", `{"version":1}`, 422)
	if !strings.Contains(fmt.Sprint(p["errors"]), "/text") {
		t.Errorf("got %v, want an error of /text", p)
	}
}

// A service that has not applied a version yet waits for it. One without a journal restores nothing.
func TestRestoreOnAnotherService(t *testing.T) {
	b := servicetest.StartBroker(t)
	one, other, none := restoring(t, b, plainNotes, true), restoring(t, b, plainNotes, true), restoring(t, b, plainNotes, false)
	note, _ := written(t, one, "POST", "/notes", `{"text":"0"}`, 201)
	path := fmt.Sprint("/notes/", note["id"])
	for i := int64(1); i <= 20; i++ {
		now, _ := written(t, one, "PUT", path, fmt.Sprintf(`{"text":"%d"}`, i), 200)
		if restored, _ := written(t, other, "POST", path+"/restore", fmt.Sprintf(`{"version":%v}`, now["version"]), 200); restored["text"] != fmt.Sprint(i) {
			t.Errorf("got %v, want the text %d", restored, i)
		}
	}
	if p, _ := written(t, none, "POST", path+"/restore", `{"version":1}`, 503); !strings.HasSuffix(fmt.Sprint(p["type"]), "not-ready") {
		t.Errorf("without a journal: got %v, want not-ready", p)
	}
}

// A restore needs the right to update the entity, and to read both the entity and the version.
func TestRestoreObeysTheRules(t *testing.T) {
	h := restoring(t, servicetest.StartBroker(t), `"x-access":{"read":"old.owner == auth.sub","create":"true","update":"new.text != \"secret\"","delete":"true"},"properties":{"owner":{"type":"string"},"text":{"type":"string"}}`, true)
	ada, bob := "X-User: ada", "X-User: bob"
	note, _ := written(t, h, "POST", "/notes", `{"owner":"ada","text":"one"}`, 201, ada)
	path := fmt.Sprint("/notes/", note["id"])
	written(t, h, "PUT", path, `{"owner":"bob","text":"two"}`, 200, ada)
	// Ada may read version 1 but no longer the entity, and Bob the entity but not version 1.
	written(t, h, "POST", path+"/restore", `{"version":1}`, 404, ada)
	written(t, h, "POST", path+"/restore", `{"version":1}`, 404, bob)
	if restored, _ := written(t, h, "POST", path+"/restore", `{"version":2}`, 200, bob); restored["text"] != "two" {
		t.Errorf("got %v, want version 2", restored)
	}
	written(t, h, "DELETE", path, "", 204, bob)
	// That the entity was deleted is for those who could read it.
	written(t, h, "POST", path+"/restore", `{"version":1}`, 404, ada)
	written(t, h, "POST", path+"/restore", `{"version":1}`, 404, bob)
	if restored, _ := written(t, h, "POST", path+"/restore", `{"version":2}`, 200, bob); restored["text"] != "two" {
		t.Errorf("a deleted entity: got %v, want version 2", restored)
	}

	secret, _ := written(t, h, "POST", "/notes", `{"owner":"ada","text":"secret"}`, 201, ada)
	path = fmt.Sprint("/notes/", secret["id"])
	written(t, h, "PUT", path, `{"owner":"ada","text":"open"}`, 200, ada)
	written(t, h, "POST", path+"/restore", `{"version":1}`, 403, ada)
	written(t, h, "DELETE", path, "", 204, ada)
	written(t, h, "POST", path+"/restore", `{"version":1}`, 403, ada)
}

// Who brings an entity back must be allowed to create it as well. Members that only the server sets keep
// the values that they had before the deletion.
func TestUndeleteNeedsCreate(t *testing.T) {
	h := restoring(t, servicetest.StartBroker(t), `"x-access":{"read":"true","create":"new.text != \"closed\"","update":"true","delete":"true"},"properties":{"owner":{"type":"string","x-default":"auth.sub"},"text":{"type":"string"}}`, true)
	ada, bob := "X-User: ada", "X-User: bob"
	note, _ := written(t, h, "POST", "/notes", `{"text":"open"}`, 201, ada)
	path := fmt.Sprint("/notes/", note["id"])
	written(t, h, "PUT", path, `{"text":"closed"}`, 200, ada)
	written(t, h, "DELETE", path, "", 204, ada)
	written(t, h, "POST", path+"/restore", `{"version":2}`, 403, bob)
	if restored, _ := written(t, h, "POST", path+"/restore", `{"version":1}`, 200, bob); restored["owner"] != "ada" {
		t.Errorf("got %v, want it to belong to ada", restored)
	}
}
