package auth_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// checkPast checks one operation that reads events: a feed, the versions of an entity, or one of
// them. They obey the rule for reading, as the entity itself does.
func (r *ruledRig) checkPast(t *testing.T, name string, who identity, collection, method, path string) {
	t.Helper()
	powers := who.powers[collection]
	readable := who.valid && strings.Contains(powers, "r")
	fill := func(id string) string { return strings.NewReplacer("{id}", id, "{version}", "1").Replace(path) }
	for _, query := range []string{"", "?limit=1", "?previous=true&offset=-1", "?before=2", "?at=1"} {
		status, header, text := r.send(t, method, fill(r.entities[collection])+query, "", who.authorization)
		want := []int{http.StatusOK}
		switch {
		case powers == "":
			want = who.want(collection, method, true)
		case query != "" && status == http.StatusBadRequest:
			continue // a parameter of another operation
		case !readable && strings.Contains(path, "{id}"):
			want = []int{http.StatusNotFound}
		}
		if !slices.Contains(want, status) {
			t.Errorf("%s: %s %s%s: got %d %s, want %v", name, method, path, query, status, text, want)
		}
		if readable && query == "" && method == http.MethodGet && !strings.Contains(text, secret) {
			t.Errorf("%s: %s %s: got %s, want the entity that the caller may read", name, method, path, text)
		}
		r.checkResponse(t, name+": "+method+" "+path+query, readable, status, header, text)
		if readable || !strings.Contains(path, "{id}") {
			continue
		}
		gone, goneHeader, goneBody := r.send(t, method, fill(missing)+query, "", who.authorization)
		if status != gone || !slices.Equal(fieldsOf(header), fieldsOf(goneHeader)) || withoutInstance(text) != withoutInstance(goneBody) {
			t.Errorf("%s: %s %s%s: a hidden entity differs from a missing one: %d %v %s, and %d %v %s", name, method, path, query,
				status, fieldsOf(header), text, gone, fieldsOf(goneHeader), goneBody)
		}
	}
}

// checkRestore restores the first version of an entity, which needs the rules for reading and for
// updating, and once the entity is deleted also the one for creating. In this matrix, whoever may update
// may create.
func (r *ruledRig) checkRestore(t *testing.T, name string, who identity, collection string) {
	t.Helper()
	readable := who.valid && strings.Contains(who.powers[collection], "r")
	restore := func(id string) (int, http.Header, string) {
		return r.send(t, http.MethodPost, "/"+collection+"/"+id+"/restore", `{"version":1}`, who.authorization)
	}
	check := func(state, id string, exists bool) (int, http.Header, string) {
		t.Helper()
		status, header, text := restore(id)
		if want := who.want(collection, http.MethodPut, exists); !slices.Contains(want, status) {
			t.Errorf("%s: restore in %s, %s: got %d %s, want %v", name, collection, state, status, text, want)
		}
		r.checkResponse(t, name+": restore in "+collection, readable, status, header, text)
		return status, header, text
	}
	gone, goneHeader, goneBody := check("missing", missing, false)
	for _, state := range []string{"living", "deleted"} {
		if state == "deleted" {
			if status, _, text := r.send(t, http.MethodDelete, "/"+collection+"/"+r.entities[collection], "", r.admin); status != http.StatusNoContent {
				t.Fatalf("delete in %s: got %d %s, want 204", collection, status, text)
			}
		}
		there, thereHeader, thereBody := check(state, r.entities[collection], true)
		if !readable && (there != gone || !slices.Equal(fieldsOf(thereHeader), fieldsOf(goneHeader)) || withoutInstance(thereBody) != withoutInstance(goneBody)) {
			t.Errorf("%s: restore in %s: a hidden entity, %s, differs from a missing one: %d %v %s, and %d %v %s", name, collection, state,
				there, fieldsOf(thereHeader), thereBody, gone, fieldsOf(goneHeader), goneBody)
		}
	}
}

// The feed of all collections shows each caller the events of entities that it may read, also
// while it follows the feed.
func TestTheFeedOfAllCollectionsObeysTheRules(t *testing.T) {
	r := newRuledRig(t)
	r.refill(t)
	for name, who := range r.identities {
		for _, path := range []string{"/changes?previous=true", "/changes?offset=-1&live=long-poll", "/changes?limit=1"} {
			status, _, text := r.send(t, http.MethodGet, path, "", who.authorization)
			if !who.valid {
				if status != http.StatusUnauthorized {
					t.Errorf("%s: %s: got %d, want 401", name, path, status)
				}
				continue
			}
			var all []struct {
				Type string
				Data json.RawMessage
			}
			if status != http.StatusOK || json.Unmarshal([]byte(text), &all) != nil {
				t.Fatalf("%s: %s: got %d %s, want 200", name, path, status, text)
			}
			seen := map[string]bool{}
			for _, e := range all {
				collection := strings.Split(e.Type, ".")[1]
				seen[collection] = true
				if strings.Contains(string(e.Data), secret) && !strings.Contains(who.powers[collection], "r") {
					t.Errorf("%s: %s: got an event of %s, which the caller may not read", name, path, collection)
				}
			}
			if strings.Contains(path, "previous") {
				for collection, powers := range who.powers { // read models have no events
					if strings.Contains(powers, "r") && !strings.HasPrefix(collection, "models/") && !seen[collection] {
						t.Errorf("%s: %s: got no event of %s, want one", name, path, collection)
					}
				}
			}
		}
	}
}
