package commands_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

const id = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"

func users(t testing.TB) *collections.Collection {
	t.Helper()
	c, ok := servicetest.Collections(t).Get("users")
	if !ok {
		t.Fatal("got no collection users, want one")
	}
	return c
}

func doc(t testing.TB, body string) document.Document {
	t.Helper()
	d, err := document.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDecide reads: given this state, when this command, then this event or rejection.
func TestDecide(t *testing.T) {
	const ada = `{"name":"Ada","email":"ada@example.com"}`
	none := commands.State{}
	living := commands.State{Version: 3, CreatedAt: "2026-11-22T12:00:00.000Z", Document: doc(t, ada)}
	match := func(versions ...int64) commands.Precondition {
		return commands.Precondition{Set: true, Versions: versions}
	}
	for _, s := range []struct {
		name  string
		given commands.State
		when  commands.Command
		// then
		kind     events.Kind
		version  int64
		body     string
		rejected *commands.Rejection
	}{
		{name: "create", given: none, when: commands.Command{Action: commands.Create, Document: doc(t, ada)}, kind: events.Created, version: 1, body: ada},
		{name: "replace", given: living, when: commands.Command{Action: commands.Replace, Document: doc(t, `{"name":"B","email":"b@example.com"}`)}, kind: events.Updated, version: 4, body: `{"name":"B","email":"b@example.com"}`},
		{name: "replace what is not there", given: none, when: commands.Command{Action: commands.Replace, Document: doc(t, ada)}, rejected: &commands.Rejection{Kind: commands.NotFound}},
		{name: "patch", given: living, when: commands.Command{Action: commands.Patch, Patch: []byte(`{"name":"B"}`)}, kind: events.Updated, version: 4, body: `{"name":"B","email":"ada@example.com"}`},
		{name: "patch to the same", given: living, when: commands.Command{Action: commands.Patch, Patch: []byte(`{}`)}, kind: events.Updated, version: 4, body: ada},
		{name: "patch against the schema", given: living, when: commands.Command{Action: commands.Patch, Patch: []byte(`{"email":null}`)}, rejected: &commands.Rejection{Kind: commands.Invalid}},
		{name: "patch that is no object", given: living, when: commands.Command{Action: commands.Patch, Patch: []byte(`[]`)}, rejected: &commands.Rejection{Kind: commands.Invalid}},
		{name: "patch to too much", given: living, when: commands.Command{Action: commands.Patch, Patch: []byte(`{"name":"0123456789"}`), MaxDocument: 20}, rejected: &commands.Rejection{Kind: commands.TooLarge}},
		{name: "patch what is not there", given: none, when: commands.Command{Action: commands.Patch, Patch: []byte(`{}`)}, rejected: &commands.Rejection{Kind: commands.NotFound}},
		{name: "delete", given: living, when: commands.Command{Action: commands.Delete}, kind: events.Deleted, version: 4},
		{name: "delete what is not there", given: none, when: commands.Command{Action: commands.Delete}, rejected: &commands.Rejection{Kind: commands.NotFound}},
		{name: "If-Match holds", given: living, when: commands.Command{Action: commands.Delete, Match: match(1, 3)}, kind: events.Deleted, version: 4},
		{name: "If-Match fails", given: living, when: commands.Command{Action: commands.Delete, Match: match(2)}, rejected: &commands.Rejection{Kind: commands.VersionMismatch, Version: 3}},
		{name: "If-Match names only what can't be", given: living, when: commands.Command{Action: commands.Delete, Match: match()}, rejected: &commands.Rejection{Kind: commands.VersionMismatch, Version: 3}},
		{name: "If-Match: *", given: living, when: commands.Command{Action: commands.Delete, Match: commands.Precondition{Set: true, Any: true}}, kind: events.Deleted, version: 4},
		{name: "If-Match where nothing is", given: none, when: commands.Command{Action: commands.Delete, Match: match(1)}, rejected: &commands.Rejection{Kind: commands.NotFound}},
	} {
		t.Run(s.name, func(t *testing.T) {
			s.when.Collection, s.when.ID = users(t), id
			now := time.Date(2026, 11, 24, 10, 0, 0, 123456789, time.FixedZone("", 3600))
			e, rejection := commands.Decide(s.when, s.given, commands.Stamp{EventID: id, Now: now, Source: "/test"})
			if s.rejected != nil {
				if rejection == nil || rejection.Kind != s.rejected.Kind || rejection.Version != s.rejected.Version || rejection.Detail == "" {
					t.Fatalf("got %+v, %+v, want %+v", e, rejection, s.rejected)
				}
				return
			}
			if rejection != nil {
				t.Fatalf("got the rejection %v, want an event", rejection)
			}
			if e.Kind != s.kind || e.Version != s.version || string(e.Document) != s.body || e.EntityID != id || e.ID != id || e.Collection != "users" || e.Source != "/test" {
				t.Errorf("got %+v, want the command's ids with the kind, version and document of the test case", e)
			}
			if got := events.FormatTime(e.Time); got != "2026-11-24T09:00:00.123Z" || e.Time.Nanosecond()%1e6 != 0 {
				t.Errorf("got time %s, want 2026-11-24T09:00:00.123Z", got)
			}
			if wantClaims := s.kind != events.Deleted; wantClaims != (len(e.Claims) == 1) || wantClaims && !strings.HasPrefix(e.Claims[0], "email:") {
				t.Errorf("got claims %v, want one on the email, or none for a deletion", e.Claims)
			}
		})
	}
}

func TestDecideNamesEachViolation(t *testing.T) {
	_, rejection := commands.Decide(commands.Command{Action: commands.Patch, Collection: users(t), ID: id, Patch: []byte(`{"name":7,"email":null}`)},
		commands.State{Version: 1, Document: doc(t, `{"name":"Ada","email":"ada@example.com"}`)}, commands.Stamp{})
	if rejection == nil || len(rejection.Violations) != 2 {
		t.Fatalf("got %+v, want two violations", rejection)
	}
	b, err := json.Marshal(rejection.Violations)
	if err != nil || !strings.Contains(string(b), "/name") || !strings.Contains(string(b), "/email") {
		t.Errorf("got %s, %v, want /name and /email in it", b, err)
	}
}
