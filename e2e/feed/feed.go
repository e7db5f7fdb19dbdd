// Package feed tests the change feed and the history of a store over HTTP, as its clients see them.
// It does not know whether the store is one process or a cluster.
package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/suite"
)

// Run tests the store.
func Run(t *testing.T, target suite.Target) {
	t.Run("a list and the feed from its position are everything", func(t *testing.T) { listThenFeed(t, target) })
	t.Run("followers see every change once, in order", func(t *testing.T) { followers(t, target) })
	t.Run("history", func(t *testing.T) { history(t, target) })
}

// create makes a user, and returns its id and the position of the write.
func create(t *testing.T, target suite.Target, name string) (id, position string) {
	t.Helper()
	r := target.Do(t, "POST", "/users", fmt.Sprintf(`{"name":%q,"email":"%s-%d@example.com"}`, name, name, time.Now().UnixNano())).Want(t, 201)
	var e suite.Entity
	if err := json.Unmarshal(r.Body, &e); err != nil {
		t.Fatal(err)
	}
	return e.ID, r.Header.Get("Clusterlite-Position")
}

// changes returns the feed after an offset up to its end.
func changes(t *testing.T, target suite.Target, path, offset string) (all []Change, next string) {
	t.Helper()
	for {
		r := target.Do(t, "GET", path+"?offset="+offset, "").Want(t, 200)
		var some []Change
		if err := json.Unmarshal(r.Body, &some); err != nil {
			t.Fatal(err)
		}
		all, offset = append(all, some...), r.Header.Get("Stream-Next-Offset")
		if r.Header.Get("Stream-Up-To-Date") == "true" {
			return all, offset
		}
	}
}

func listThenFeed(t *testing.T, target suite.Target) {
	create(t, target, "before")
	at := target.Do(t, "GET", "/users?limit=1", "").Want(t, 200).Header.Get("Clusterlite-Position")
	id, _ := create(t, target, "after")
	target.Do(t, "PATCH", "/users/"+id, `{"name":"later"}`).Want(t, 200)
	target.Do(t, "DELETE", "/users/"+id, "").Want(t, 204)
	all, _ := changes(t, target, "/users/changes", at)
	var got []string
	for _, c := range all {
		if c.Subject == id {
			got = append(got, c.Type)
		} else if target.Exclusive {
			t.Errorf("got %s, want only changes after the list", c)
		}
	}
	if want := []string{"clusterlite.users.created", "clusterlite.users.updated", "clusterlite.users.deleted"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func followers(t *testing.T, target suite.Target) {
	const clients, writes = 8, 100
	_, at := create(t, target, "first")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seen := make([][]Change, clients)
	var lastID string // once known is closed
	var wait sync.WaitGroup
	known := make(chan struct{})
	for i := range clients {
		wait.Go(func() {
			follower := Follower{Node: func() string { return target.URL }, Path: "/users/changes", Seen: func(some []Change, _ string) bool {
				seen[i] = append(seen[i], some...)
				select {
				case <-known:
				default:
					return true
				}
				return !slices.ContainsFunc(seen[i], func(c Change) bool { return c.Subject == lastID })
			}}
			err := follower.Follow(ctx, at)
			if err != nil {
				t.Errorf("follower %d: %v after %d changes", i, err, len(seen[i]))
			}
		})
	}
	for i := range writes {
		id, _ := create(t, target, fmt.Sprintf("n%d", i))
		if i == writes-1 {
			lastID = id
			close(known)
		}
	}
	// More writes wake followers that had the last one before it was known.
	more := make(chan struct{})
	go func() {
		defer close(more)
		for ctx.Err() == nil {
			_, _ = suite.Send("POST", target.URL+"/users", fmt.Sprintf(`{"name":"more","email":"more-%d@example.com"}`, time.Now().UnixNano()))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	wait.Wait()
	cancel()
	<-more
	want, _ := changes(t, target, "/users/changes", at)
	for i, got := range seen {
		if len(got) < writes || len(got) > len(want) {
			t.Errorf("follower %d: got %d changes, want at least %d and at most %d", i, len(got), writes, len(want))
			continue
		}
		for k, c := range got {
			if c.String() != want[k].String() {
				t.Errorf("follower %d: change %d is %s, want %s", i, k, c, want[k])
				break
			}
		}
	}
}

func history(t *testing.T, target suite.Target) {
	id, at := create(t, target, "one")
	target.Do(t, "PATCH", "/users/"+id, `{"name":"two"}`).Want(t, 200)
	target.Do(t, "DELETE", "/users/"+id, "").Want(t, 204)
	target.Do(t, "GET", "/users/"+id, "").Want(t, 404)
	var versions []Change
	if err := json.Unmarshal(target.Do(t, "GET", "/users/"+id+"/versions", "").Want(t, 200).Body, &versions); err != nil {
		t.Fatal(err)
	}
	if len(versions) != 3 || versions[0].Type != "clusterlite.users.deleted" {
		t.Errorf("got versions %v, want three, the deletion first", versions)
	}
	for path, want := range map[string]string{"/versions/1": "one", "/versions/2": "two", "?at=" + at: "one"} {
		var e suite.Entity
		if err := json.Unmarshal(target.Do(t, "GET", "/users/"+id+path, "").Want(t, 200).Body, &e); err != nil {
			t.Fatal(err)
		}
		if e.Name != want {
			t.Errorf("%s: got %q, want %q", path, e.Name, want)
		}
	}
	undelete(t, target, id)
}

// undelete restores the first version of an entity that was deleted with version 3. A retry at another
// service gives the same response.
func undelete(t *testing.T, target suite.Target, id string) {
	t.Helper()
	at := target.Do(t, "GET", "/users?limit=1", "").Want(t, 200).Header.Get("Clusterlite-Position")
	target.Do(t, "POST", "/users/"+id+"/restore", `{"version":1}`, `If-Match: "2"`).Want(t, 412)
	var e suite.Entity
	for range 2 {
		r := target.Do(t, "POST", "/users/"+id+"/restore", `{"version":1}`, `If-Match: "3"`, "Idempotency-Key: "+id).Want(t, 200)
		if err := json.Unmarshal(r.Body, &e); err != nil {
			t.Fatal(err)
		}
		if e.ID != id || e.Name != "one" || e.Version != 4 || r.Header.Get("ETag") != `"4"` {
			t.Errorf("got %s, want version 4 of %s with the name one", r.Body, id)
		}
	}
	if r := target.Do(t, "GET", "/users/"+id, "").Want(t, 200); r.Header.Get("ETag") != `"4"` {
		t.Errorf("got %s, want version 4", r.Body)
	}
	target.Do(t, "GET", "/users/"+id+"?at="+at, "").Want(t, 404)
	all, _ := changes(t, target, "/users/changes", at)
	all = slices.DeleteFunc(all, func(c Change) bool { return c.Subject != id })
	if len(all) != 1 || all[0].Type != "clusterlite.users.restored" {
		t.Errorf("got the changes %v, want one of type restored", all)
	}
	// It is an entity like any other.
	target.Do(t, "PATCH", "/users/"+id, `{"name":"three"}`).Want(t, 200)
	target.Do(t, "DELETE", "/users/"+id, "").Want(t, 204)
	target.Do(t, "GET", "/users/"+id, "").Want(t, 404)
}
