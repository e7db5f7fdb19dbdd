package queryapi_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestVersions(t *testing.T) {
	n := newFeed(t, changes.Timing{})
	id := uuid.NewString()
	n.write(id, events.Created, 1, "Ada")
	n.write(id, events.Updated, 2, "Ada L")
	n.write(id, events.Deleted, 3, "")
	types := func(path string) (got []string) {
		var all []change
		if err := json.Unmarshal([]byte(servicetest.Body(t, n.get(path, 200))), &all); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			got = append(got, strings.TrimPrefix(c.Type, "clusterlite.users."))
		}
		return got
	}
	path := "/users/" + id + "/versions"
	if got, want := types(path), []string{"deleted", "updated", "created"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	r := n.get(path+"?limit=2", 200)
	if got, want := r.Header.Get("Link"), "<"+path+`?before=2&limit=2>; rel="next"`; got != want {
		t.Errorf("got Link %s, want %s", got, want)
	}
	if got, want := types(path+"?before=2&limit=2"), []string{"created"}; !slices.Equal(got, want) {
		t.Errorf("second page: got %v, want %v", got, want)
	}
	r = n.get(path+"/2", 200)
	if body := servicetest.Body(t, r); !strings.Contains(body, `"name":"Ada L"`) || !strings.Contains(body, `"version":2`) || r.Header.Get("ETag") != `"2"` {
		t.Errorf("version 2: got %s, %v", body, r.Header)
	}
	n.get(path+"/2", 304, `If-None-Match: "2"`)
	if body := servicetest.Body(t, n.get("/users/"+id+"?at=1", 200)); !strings.Contains(body, `"name":"Ada"`) {
		t.Errorf("at position 1: got %s, want the first version", body)
	}
	for path, status := range map[string]int{
		path + "/3": 404, path + "/4": 404, path + "/0": 404, path + "/x": 404, "/none/" + id + "/versions": 404, "/users/" + uuid.NewString() + "/versions": 404,
		path + "?limit=0": 400, path + "?x=1": 400, "/users/" + id + "?at=0": 404, "/users/" + id + "?at=3": 404, "/users/" + id + "?at=x": 400,
		"/users/" + id + "?at=2000-01-01T00:00:00Z": 404, "/users/" + id + "?at=2100-01-01T00:00:00Z": 404,
	} {
		n.get(path, status)
	}
}

// An entity at a position or time is what a replay of the log up to there makes of it.
func TestHistoryEqualsReplay(t *testing.T) {
	n := newFeed(t, changes.Timing{})
	random := rand.New(rand.NewPCG(1, 2))
	var ids []string
	versions := map[string]int64{}
	var end events.Position
	for range 400 {
		var id string
		if len(ids) < 100 && random.IntN(2) == 0 {
			id = uuid.Must(uuid.NewV7()).String()
			ids = append(ids, id)
		} else if len(ids) > 0 {
			id = ids[random.IntN(len(ids))]
		} else {
			continue
		}
		versions[id]++ // events of a deleted entity are void, and so are those that skip a version
		kind := events.Updated
		switch {
		case versions[id] == 1:
			kind = events.Created
		case random.IntN(6) == 0:
			kind = events.Deleted
		}
		e := events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: versions[id],
			Time: time.UnixMilli(1_764_000_000_000 + int64(end)).UTC(),
		}
		if kind != events.Deleted {
			e.Document = fmt.Appendf(nil, `{"name":"N%d","email":"%s@example.com"}`, end, id)
		}
		var err error
		if end, err = n.log.Append(servicetest.Context(t), e); err != nil {
			t.Fatal(err)
		}
	}
	_, r := n.changes("/users/changes?offset=0")
	if got, want := r.Header.Get("Stream-Next-Offset"), fmt.Sprintf("%016d", end); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	all, _ := n.changes("/users/changes?offset=0")
	pairs := 0
	for i := range 14 {
		at, until := "", offline.Until{}
		if i%2 == 0 {
			position := events.Position(random.IntN(int(end) + 1))
			at, until = fmt.Sprint(position), offline.UntilPosition(position)
		} else {
			at = all[random.IntN(len(all))].Appendedat
			moment, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			until = offline.UntilTime(moment)
		}
		path := filepath.Join(t.TempDir(), "replay.db")
		if _, err := offline.Build(servicetest.Context(t), offline.BuildOptions{Path: path, Log: n.log, Collections: servicetest.Collections(t), Until: until}); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		if err := offline.Contents(servicetest.Context(t), path, func(e events.Entity) error {
			want[e.ID] = string(e.Rendered)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			r := servicetest.Do(n, "GET", "/users/"+id+"?at="+at, "")
			got := servicetest.Body(t, r)
			if r.StatusCode == 404 {
				got = ""
			}
			if got != want[id] {
				t.Errorf("%s at %s: got %d %s, want %s", id, at, r.StatusCode, got, want[id])
			}
			pairs++
		}
	}
	if pairs < 1000 {
		t.Errorf("compared %d pairs, want at least 1,000", pairs)
	}
}
