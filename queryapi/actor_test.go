package queryapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// The versions of an entity name who asked for a change, to admins. No other client sees the name, and no
// feed shows it.
func TestActorsAreForAdmins(t *testing.T) {
	set := servicetest.Collections(t)
	log := servicetest.StartBroker(t).OpenLog()
	model := servicetest.OpenModel(t, log, set).Follow()
	a := &queryapi.API{Log: log, Model: model.Projection, Collections: set, Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute}
	e := servicetest.Echo(web.Options{Callers: func(r *http.Request) (caller.Caller, error) {
		return caller.Caller{Name: "bob", Roles: r.Header.Values("X-Role")}, nil
	}})
	contract.Mount(e, a.Routes())
	id, name := uuid.NewString(), `ada"@example.com`
	for version, kind := range []events.Kind{events.Created, events.Deleted, events.Restored} {
		event := events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: int64(version) + 1, Time: time.Now().UTC(), Actor: name,
		}
		if kind != events.Deleted {
			event.Document = []byte(`{"name":"Ada","email":"a@example.com"}`)
		}
		if kind == events.Restored {
			event.Actor = ""
		}
		if _, err := log.Append(servicetest.Context(t), event); err != nil {
			t.Fatal(err)
		}
	}
	versions := "/users/" + id + "/versions"
	for _, c := range []struct {
		path, role string
		names      int
	}{
		{versions, "admin", 2}, {versions, "operator", 0}, {versions, "", 0}, {versions + "/1", "admin", 0},
		{"/users/changes", "admin", 0}, {"/changes?previous=true", "admin", 0}, {"/users/changes", "", 0},
	} {
		r := servicetest.Do(e, "GET", c.path, "", "X-Role: "+c.role)
		body := servicetest.Body(t, r)
		if n := strings.Count(body, `"actor":"ada\"@example.com"`); r.StatusCode != 200 || n != c.names || strings.Count(body, "ada") != c.names {
			t.Errorf("%s with the role %q: got %d %s, want the name %d times", c.path, c.role, r.StatusCode, body, c.names)
		}
	}
}
