package queryapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
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
	versions, deleted := map[string]int64{}, map[string]bool{}
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
		versions[id]++ // most events of a deleted entity are void, and so are those that skip a version
		kind := events.Updated
		switch {
		case versions[id] == 1:
			kind = events.Created
		case deleted[id] && random.IntN(3) > 0:
			kind = events.Restored
		case random.IntN(6) == 0:
			kind = events.Deleted
		}
		e := events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: versions[id],
			Time: time.UnixMilli(1_764_000_000_000 + int64(end)).UTC(),
		}
		if deleted[id] = kind == events.Deleted; !deleted[id] {
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
		living := slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(id string) bool { return want[id] == "" })
		for _, limit := range []string{"7", "10000"} {
			if got := n.ids("/users?at="+at+"&limit="+limit, nil); !slices.Equal(got, living) {
				t.Errorf("the list at %s with limit %s: got %v, want %v", at, limit, got, living)
			}
		}
		var whole []string
		for _, id := range living {
			whole = append(whole, want[id])
		}
		if got, want := servicetest.Body(t, n.get("/users?limit=10000&at="+at, 200)), "["+strings.Join(whole, ",")+"]"; got != want {
			t.Errorf("the list at %s: got %s, want %s", at, got, want)
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

// The pages of a list of the past are of one moment. Filters apply to the entities as they were.
func TestListsOfThePast(t *testing.T) {
	n := newFeed(t, changes.Timing{})
	var ids []string
	write := func(i int, kind events.Kind, version int64, name string) events.Position {
		e := events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: ids[i], Kind: kind, Version: version,
			Time: time.Date(2026, 11, 24, 12, 0, int(version), 0, time.UTC), Document: documentOf(kind, ids[i], name),
		}
		at, err := n.log.Append(servicetest.Context(t), e)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for i := range 10 {
		ids = append(ids, productID(i+1))
		write(i, events.Created, 1, fmt.Sprint("N", i%2))
	}
	at := write(0, events.Updated, 2, "N1")
	path := fmt.Sprintf("/users?at=%d", at)
	// The entities change between the pages.
	version := int64(2)
	got := n.ids(path+"&limit=3", func() {
		for i := 1; i < 10; i++ {
			write(i, events.Updated, version, "later")
		}
		version++
	})
	if !slices.Equal(got, ids) {
		t.Errorf("got %v, want %v", got, ids)
	}
	for filter, want := range map[string][]string{
		"name=N1":                  {ids[0], ids[1], ids[3], ids[5], ids[7], ids[9]},
		"name=N0&id[gt]=" + ids[3]: {ids[4], ids[6], ids[8]},
		"version=2":                {ids[0]},
		"name=later":               nil,
		"created_at=2026-11-24T12:00:01Z&updated_at=2026-11-24T12:00:02Z": {ids[0]},
		"sort=id&fields=id&name=N1&id[lt]=" + ids[2]:                      {ids[0], ids[1]},
	} {
		for _, limit := range []string{"1", "2", "100"} {
			if got := n.ids(path+"&limit="+limit+"&"+filter, nil); !slices.Equal(got, want) {
				t.Errorf("%s with limit %s: got %v, want %v", filter, limit, got, want)
			}
		}
	}
	r := n.get(path+"&limit=3", 200)
	if got, want := r.Header.Get("Clusterlite-Position"), fmt.Sprint(at); got != want {
		t.Errorf("got position %s, want %s", got, want)
	}
	n.get(path+"&limit=3", 304, "If-None-Match: "+r.Header.Get("ETag"))
	if body := servicetest.Body(t, n.get("/users?at=0", 200)); body != "[]" {
		t.Errorf("at the beginning: got %s, want no entities", body)
	}
	link := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Link"), "<"), `>; rel="next"`)
	for path, status := range map[string]int{
		"/users?at=x": 400, "/users?at=1000000": 400, "/users?at=": 400, path + "&sort=name": 400, path + "&sort=-id": 400, path + "&count=true": 400, path + "&after=x": 400, path + "&limit=0": 400,
		path + "&nam=x": 400, strings.Replace(link, fmt.Sprintf("at=%d", at), "at=3", 1): 400, "/none?at=1": 404, strings.Replace(link, "at=", "a=", 1): 400,
	} {
		n.get(path, status)
	}
	if r := n.get(path, 200, "Accept: application/x-ndjson"); r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s, want JSON, the only representation", r.Header.Get("Content-Type"))
	}
}
