package commands_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// serveDeclared serves collections by their schemas.
func serveDeclared(t testing.TB, schemas map[string]string) *server {
	t.Helper()
	dir := t.TempDir()
	for name, schema := range schemas {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := servicetest.StartBroker(t).OpenLog()
	model := servicetest.OpenModel(t, log, set).Follow()
	return serveSet(t, service{&commands.Executor{Log: log, Model: model.Projection, Source: "/test", Wait: 10 * time.Second}, model}, set)
}

// do sends a request and returns the status and the body.
func (s *server) do(t testing.TB, method, path, contentType, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s %s: got %v, want a response", method, path, err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: got %v, want a complete body", method, path, err)
	}
	return answer.StatusCode, b
}

func wantInvalidAt(t testing.TB, what string, status int, body []byte, pointer string) {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("%s: got %v, want a problem: %s", what, err, body)
	}
	if status != 422 || !p.Of(problem.InvalidDocument) || len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
		t.Errorf("%s: got %d %s, want 422 invalid-document at %s", what, status, body, pointer)
	}
}

const parts = `{"title":"parts","type":"object","properties":{
	"i":{"type":"integer","x-unique":true},
	"price":{"type":"number","minimum":0,"maximum":1e400,"multipleOf":0.01},
	"kind":{"enum":[1,2.5,"a"]},
	"one":{"const":1},
	"list":{"type":"array","uniqueItems":true}}}`

// Numbers that would take seconds or gigabytes to compute with are rejected everywhere, before
// any arithmetic.
func TestHugeNumbersAreRejected(t *testing.T) {
	s := serveDeclared(t, map[string]string{"parts": parts})
	_, created := s.do(t, "POST", "/parts", "application/json", `{"i":1}`)
	var entity struct{ ID string }
	if err := json.Unmarshal(created, &entity); err != nil || entity.ID == "" {
		t.Fatalf("got %s, %v, want an entity with an id", created, err)
	}
	for _, number := range []string{"1e1000001", "1e1000000", "1e10000000", "-1e-1000001", "1E+99999999999999999999", strings.Repeat("7", 5000)} {
		for pointer, document := range map[string]string{
			"/i":      `{"i":%s}`,
			"/price":  `{"price":%s}`,
			"/kind":   `{"kind":%s}`,
			"/one":    `{"one":%s}`,
			"/list/1": `{"list":[1,%s]}`,
			"/x/y":    `{"x":{"y":%s}}`,
		} {
			body := fmt.Sprintf(document, number)
			what := fmt.Sprintf("%.40s", body)
			status, answer := s.do(t, "POST", "/parts", "application/json", body)
			wantInvalidAt(t, "POST "+what, status, answer, pointer)
			status, answer = s.do(t, "PUT", "/parts/"+entity.ID, "application/json", body)
			wantInvalidAt(t, "PUT "+what, status, answer, pointer)
			status, answer = s.do(t, "PATCH", "/parts/"+entity.ID, "application/merge-patch+json", body)
			wantInvalidAt(t, "PATCH "+what, status, answer, pointer)
			status, answer = s.do(t, "POST", "/parts", "application/x-ndjson", "{}\n"+body+"\n{}\n")
			if lines := strings.Split(strings.TrimSpace(string(answer)), "\n"); status != 200 || len(lines) != 3 ||
				!strings.Contains(lines[0], `"status":201`) || !strings.Contains(lines[1], `"pointer":"`+pointer+`"`) || !strings.Contains(lines[2], `"status":201`) {
				t.Errorf("import of %s: got %d %s, want a problem at the pointer for line 2 alone", what, status, answer)
			}
		}
	}
	for _, body := range []string{`{"price":1e400}`, `{"i":1e1000}`, `{"x":1e-1000}`, `{"i":` + strings.Repeat("7", 1000) + `}`} {
		if status, answer := s.do(t, "POST", "/parts", "application/json", body); status != 201 {
			t.Errorf("%.40s: got %d %s, want 201", body, status, answer)
		}
	}
	if status, answer := s.do(t, "POST", "/parts", "application/json", `{"i":10e999}`); status != 409 {
		t.Errorf("the same integer in another notation: got %d %s, want 409", status, answer)
	}
}

// An entity that was stored before numbers had bounds can be read, patched into the bounds,
// replaced and deleted.
func TestHugeNumbersThatAreStored(t *testing.T) {
	s := serveDeclared(t, map[string]string{"parts": parts})
	ctx := servicetest.Context(t)
	id, event := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	position, err := s.Log.Append(ctx, events.Event{
		ID: event, Source: "/test", Collection: "parts", EntityID: id, Kind: events.Created, Version: 1, Time: time.Now().UTC(),
		Document: []byte(`{"x":1e1000000,"price":1}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.model.WaitFor(ctx, position); err != nil {
		t.Fatal(err)
	}
	status, answer := s.do(t, "PATCH", "/parts/"+id, "application/merge-patch+json", `{"price":2}`)
	wantInvalidAt(t, "a patch of something else", status, answer, "/x")
	if status, answer = s.do(t, "PATCH", "/parts/"+id, "application/merge-patch+json", `{"x":3}`); status != 200 {
		t.Errorf("a patch that corrects it: got %d %s, want 200", status, answer)
	}
}

// A server stops within its time limit even if an import has brought more work than that: the
// import checks for the stop between two lines.
func TestAServerStopsWhileAnImportComputes(t *testing.T) {
	for name, leave := range map[string]bool{"its client waits": false, "its client has left": true} {
		t.Run(name, func(t *testing.T) {
			s := serveDeclared(t, map[string]string{"users": `{"title":"users","type":"object","properties":{"l":{"items":{"type":"integer"}}}}`})
			x := s.begin(t)
			x.send(t, "{}\n")
			x.want(t, 1, 201)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				line := `{"l":[` + strings.Repeat("1,", 50_000) + "1]}\n"
				for range 1000 { // minutes of work
					if _, err := fmt.Fprintf(x, "%x\r\n%s\r\n", len(line), line); err != nil {
						return
					}
				}
			}()
			x.want(t, 2, 201)
			if leave {
				_ = x.Close()
			}
			s.stop()
			s.awaitStop(t)
			_ = x.Close()
			<-sent
		})
	}
}
