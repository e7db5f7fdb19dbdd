package commands_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/executions"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A hidingService is a service for notes that only their owner may read. The header field X-User names
// the caller.
type hidingService struct {
	http.Handler
	broker  *servicetest.Broker
	log     *servicetest.AskedLog
	dir     string // of the model
	set     *collections.Set
	model   *servicetest.Model
	living  string // the id of a note of ada
	deleted string // the id of one that was deleted
}

func newHidingService(t *testing.T) *hidingService {
	t.Helper()
	folder := t.TempDir()
	const schema = `{"title":"notes","type":"object","required":["text"],"x-access":{"read":"old.owner == auth.sub","create":"true","update":"true","delete":"true"},
		"properties":{"owner":{"type":"string","x-default":"auth.sub"},"text":{"type":"string","maxLength":20},"code":{"type":"string","x-unique":true}}}`
	if err := os.WriteFile(filepath.Join(folder, "notes.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	s := &hidingService{broker: servicetest.StartBroker(t), dir: t.TempDir(), set: set}
	s.log = &servicetest.AskedLog{Log: s.broker.OpenLog()}
	if _, err := s.broker.OpenLog().Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	s.living, s.deleted = s.create(t, `{"text":"secret","code":"taken"}`), s.create(t, `{"text":"gone"}`)
	written(t, s, "DELETE", "/notes/"+s.deleted, "", 204, "X-User: ada")
	s.awaitVersion(t, s.living, 1)
	s.awaitVersion(t, s.deleted, 2)
	return s
}

// start serves the model in the folder.
func (s *hidingService) start(t *testing.T) {
	t.Helper()
	rules, err := access.Compile(s.set)
	if err != nil {
		t.Fatal(err)
	}
	s.model = servicetest.OpenModelIn(t, s.dir, s.broker.OpenLog(), s.set).Follow()
	a := &commands.API{
		Executor:    &commands.Executor{Log: s.log, Model: s.model.Projection, History: s.model.Projection, Source: "/test", Wait: 5 * time.Second},
		Collections: s.set, Access: rules, MaxBody: 1 << 20, SpoolDir: t.TempDir(),
	}
	h := servicetest.Echo(web.Options{Callers: func(r *http.Request) (caller.Caller, error) {
		return caller.Caller{Name: r.Header.Get("X-User")}, nil
	}})
	contract.Mount(h, a.Routes())
	s.Handler = h
}

// create creates a note of ada and returns its id.
func (s *hidingService) create(t *testing.T, body string) (id string) {
	t.Helper()
	entity, _ := written(t, s, "POST", "/notes", body, 201, "X-User: ada")
	return entity["id"].(string)
}

// awaitVersion waits until the journal shows a version, which is after the read model does.
func (s *hidingService) awaitVersion(t *testing.T, id string, version int64) {
	t.Helper()
	j, release, err := s.model.Journal()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for end := servicetest.Context(t); ; time.Sleep(time.Millisecond) {
		if _, err := j.Version("notes", id, version); err == nil {
			return
		} else if end.Err() != nil {
			t.Fatalf("got %v, want version %d of %s in the journal", err, version, id)
		}
	}
}

// steps sends a request of eve, who may read nothing of ada. It returns what she sees of the response,
// and what the service did for it.
func (s *hidingService) steps(t *testing.T, method, id, suffix, body string, fields ...string) (seen string, did []string) {
	t.Helper()
	asked := s.log.Asked.Load()
	did = executions.During(func() {
		r := servicetest.Do(s, method, "/notes/"+id+suffix, body, append(fields, "X-User: eve", "X-Request-Id: same")...)
		r.Header.Del("Date")
		seen = fmt.Sprint(r.StatusCode, r.Header, strings.ReplaceAll(servicetest.Body(t, r), id, "ID"))
	})
	// Others run in the background.
	did = slices.DeleteFunc(did, func(text string) bool {
		return !strings.Contains(text, `"notes"`) && !strings.Contains(text, "FROM _keys WHERE key")
	})
	return seen, append(did, fmt.Sprint("questions to the broker: ", s.log.Asked.Load()-asked))
}

// The time of a rejection does not reveal that an entity exists that the caller may not read: the
// service asks the broker as often and runs the same statements as for an entity that does not exist,
// and the response is the same. That holds for valid and invalid requests alike.
func TestHiddenEntitiesTakeTheStepsOfMissingOnes(t *testing.T) {
	s := newHidingService(t)
	const json = "Content-Type: application/json"
	for _, c := range []struct{ method, suffix, body string }{
		{"PUT", "", `{"text":"mine"}`},
		{"PUT", "", `{"text":"mine","code":"taken"}`},
		{"PUT", "", `{"text":"much longer than allowed"}`},
		{"PUT", "", `{"text":`},
		{"PATCH", "", `{"text":"mine"}`},
		{"PATCH", "", `{"text":"secret"}`}, // what it is
		{"PATCH", "", `{"code":"taken"}`},
		{"PATCH", "", `{"text":null}`}, // would violate the schema
		{"PATCH", "", `{"text":"much longer than allowed"}`},
		{"DELETE", "", ""},
		{"POST", "/restore", `{"version":1}`},
		{"POST", "/restore", `{"version":7}`},
		{"POST", "/restore", `{}`},
	} {
		for name, fields := range map[string][]string{
			"no condition": {json}, "another version": {json, `If-Match: "7"`}, "its version": {json, `If-Match: "1"`}, "any version": {json, "If-Match: *"},
			"a key": {json, "Idempotency-Key: "}, "eventual": {json, "Clusterlite-Consistency: eventual"}, "a media type": {"Content-Type: text/plain"},
		} {
			for n := range 2 {
				for state, hidden := range map[string]string{"living": s.living, "deleted": s.deleted} {
					keyed := func(kind string) []string {
						return append(slices.Clone(fields[:len(fields)-1]), strings.Replace(fields[len(fields)-1], "Idempotency-Key: ", fmt.Sprint("Idempotency-Key: ", kind, state, n, len(c.body), c.method, c.suffix), 1))
					}
					got, gotSteps := s.steps(t, c.method, hidden, c.suffix, c.body, keyed("hidden")...)
					want, wantSteps := s.steps(t, c.method, uuid.NewString(), c.suffix, c.body, keyed("missing")...)
					if got != want {
						t.Errorf("%s %s %s, %s, %s: got %s, want the response for what does not exist: %s", c.method, c.suffix, c.body, name, state, got, want)
					}
					if !slices.Equal(gotSteps, wantSteps) {
						t.Errorf("%s %s %s, %s, %s: got the steps %q, want those for what does not exist: %q", c.method, c.suffix, c.body, name, state, gotSteps, wantSteps)
					}
				}
			}
		}
	}
}

// A node whose journal begins late can't know which versions entities had. It responds the same for
// entities that its journal has and that the caller may not read, and for those that do not exist.
func TestRestoresWithoutTheFirstEvents(t *testing.T) {
	s := newHidingService(t)
	s.model.Stop()
	if err := s.model.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(s.dir, "*", "*.events"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("got %v, %v, want the files of the journal", segments, err)
	}
	for _, segment := range segments {
		if err := os.Remove(segment); err != nil {
			t.Fatal(err)
		}
	}
	s.start(t)
	later := s.create(t, `{"text":"later"}`) // the journal has this one
	s.awaitVersion(t, later, 1)
	const json = "Content-Type: application/json"
	for _, body := range []string{`{"version":1}`, `{"version":7}`} {
		want, wantSteps := s.steps(t, "POST", uuid.NewString(), "/restore", body, json)
		for name, id := range map[string]string{"living": s.living, "deleted": s.deleted, "in the journal": later} {
			got, gotSteps := s.steps(t, "POST", id, "/restore", body, json)
			if got != want || !slices.Equal(gotSteps, wantSteps) {
				t.Errorf("%s, %s: got %s and the steps %q, want those for what does not exist: %s, %q", name, body, got, gotSteps, want, wantSteps)
			}
		}
	}
	written(t, s, "POST", "/notes/"+s.living+"/restore", `{"version":1}`, 503, "X-User: ada")
	written(t, s, "POST", "/notes/"+later+"/restore", `{"version":7}`, 404, "X-User: ada")
	written(t, s, "POST", "/notes/"+later+"/restore", `{"version":1}`, 200, "X-User: ada")
}
