package queryapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/executions"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// The time of a response does not reveal that an entity exists that the caller may not read: the
// node asks the broker as often and runs the same statements as for an entity that does not exist,
// or for a value that no entity has, and the response is the same. That holds for the first read,
// and for later ones, which may find the entity in the cache.
func TestHiddenEntitiesTakeTheStepsOfMissingOnes(t *testing.T) {
	set := ruledUsers(t, `old.name == auth.sub`)
	n := newNodeOf(t, set)
	policies, err := access.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	log := &servicetest.AskedLog{Log: n.log}
	a := &queryapi.API{Log: log, Model: n.model.Projection, Collections: set, Access: policies, Secured: true, Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute}
	h := servicetest.Echo(web.Options{Callers: func(r *http.Request) (caller.Caller, error) {
		return caller.Caller{Name: r.Header.Get("From")}, nil
	}})
	contract.Mount(h, a.Routes())
	id, at := n.createdWith(`{"name":"ada","email":"ada@example.com"}`)
	if err := n.model.WaitFor(t.Context(), at); err != nil {
		t.Fatal(err)
	}

	// steps sends a request and returns all that the caller sees of the response, and what the node
	// did for it.
	steps := func(method, path string, fields ...string) (seen string, did []string) {
		t.Helper()
		asked := log.Asked.Load()
		did = executions.During(func() {
			r := servicetest.Do(h, method, path, "", append(fields, "From: eve", "X-Request-Id: same")...)
			r.Header.Del("Date")
			seen = fmt.Sprint(r.StatusCode, r.Header, strings.ReplaceAll(servicetest.Body(t, r), path, "PATH"))
		})
		did = slices.DeleteFunc(did, func(text string) bool { return !strings.Contains(text, `"users"`) }) // others run in the background
		return seen, append(did, fmt.Sprint("questions to the broker: ", log.Asked.Load()-asked))
	}
	limit := 0
	for _, form := range []struct{ path, hidden, missing string }{
		{"/users/%s", id, uuid.NewString()},
		{"/users/%s?fields=name", id, uuid.NewString()},
		{"/users/%s?at=1", id, uuid.NewString()},
		{"/users/%s/versions", id, uuid.NewString()},
		{"/users/%s/versions/1", id, uuid.NewString()},
		{"/users?id=%s&limit=LIMIT", id, uuid.NewString()},
		{"/users?id[in]=%s&count=true&limit=LIMIT", id, uuid.NewString()},
		{"/users?email=%s&limit=LIMIT", "ada@example.com", "bob@example.com"},
		{"/users?name=%s&count=true&limit=LIMIT", "ada", "bob"},
		{"/users?name[prefix]=%s&sort=-name&limit=LIMIT", "ad", "bo"},
		{"/users?name[gte]=%[1]s&name[lte]=%[1]s&limit=LIMIT", "ada", "bob"},
		{"/users?at=1&name=%s&limit=LIMIT", "ada", "bob"},
	} {
		for _, fields := range [][]string{{}, {"Clusterlite-Consistency: eventual"}, {`If-None-Match: "1"`}, {"Accept: application/x-ndjson"}} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for range 2 {
					// Whether a page is kept in memory depends on the time since the last write, so each
					// list has a limit of its own.
					limit++
					path := strings.Replace(form.path, "LIMIT", fmt.Sprint(limit), 1)
					hidden, hiddenSteps := steps(method, fmt.Sprintf(path, form.hidden), fields...)
					missing, missingSteps := steps(method, fmt.Sprintf(path, form.missing), fields...)
					if hidden != missing {
						t.Errorf("%s %s %v: got %s, want the response for what does not exist: %s", method, form.path, fields, hidden, missing)
					}
					if !slices.Equal(hiddenSteps, missingSteps) {
						t.Errorf("%s %s %v: got the steps %q, want those for what does not exist: %q", method, form.path, fields, hiddenSteps, missingSteps)
					}
				}
			}
		}
	}
	if _, did := steps(http.MethodGet, "/users/"+id); len(did) != 2 {
		t.Errorf("got the steps %q, want one statement and one question to the broker", did)
	}
}
