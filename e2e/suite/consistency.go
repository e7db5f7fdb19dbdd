package suite

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func consistency(t *testing.T, target Target) {
	t.Run("a client reads what it wrote", func(t *testing.T) {
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range 25 {
					readsOwnWrites(t, target)
				}
			})
		}
		clients.Wait()
	})
	t.Run("every answer has its position, which never decreases", func(t *testing.T) {
		e := target.Create(t, "Ada")
		last := int64(0)
		for _, r := range []Response{
			target.Do(t, "PUT", "/users/"+e.ID, UserBody("A", e.Email)),
			target.Do(t, "GET", "/users/"+e.ID, ""),
			target.Do(t, "GET", "/users?limit=1", ""),
			target.Do(t, "GET", absent, ""),
			target.Do(t, "PATCH", "/users/"+e.ID, `{"name":"B"}`),
			target.Do(t, "POST", "/users", UserBody("B", e.Email)),
			target.Do(t, "DELETE", "/users/"+e.ID, ""),
			target.Do(t, "GET", "/users/"+e.ID, ""),
		} {
			p := r.Position(t)
			if p < last {
				t.Errorf("got position %d, want at least %d", p, last)
			}
			last = p
		}
	})
	t.Run("reads report their consistency", func(t *testing.T) {
		e := target.Create(t, "Ada")
		for asked, given := range map[string]string{"": "strong", "strong": "strong", "linearizable": "linearizable", "eventual": "eventual"} {
			for _, path := range []string{"/users/" + e.ID, "/users?limit=1"} {
				r := target.Do(t, "GET", path, "", "Clusterlite-Consistency: "+asked, "Clusterlite-Min-Position: 1")
				if r.Header.Get("Clusterlite-Consistency") != given {
					t.Errorf("%q: got consistency %q, want %q", asked, r.Header.Get("Clusterlite-Consistency"), given)
				}
			}
		}
		target.Do(t, "GET", "/users/"+e.ID, "", "Clusterlite-Consistency: perfect").Problem(t, 400, "malformed-request")
		target.Do(t, "DELETE", "/users/"+e.ID, "", "Clusterlite-Consistency: perfect").Problem(t, 400, "malformed-request")
	})
	t.Run("linearizable costs a barrier, strong none", func(t *testing.T) {
		e := target.Create(t, "Ada")
		at := func(consistency string) int64 {
			return target.Do(t, "GET", "/users/"+e.ID, "", "Clusterlite-Consistency: "+consistency).Want(t, 200).Position(t)
		}
		before := at("strong")
		if proved := at("linearizable"); proved <= before {
			t.Errorf("got position %d, want more than %d", proved, before)
		}
		target.Do(t, "DELETE", absent, "", "Clusterlite-Consistency: linearizable").Problem(t, 404, "not-found")
	})
	t.Run("a read waits for its position", func(t *testing.T) {
		for range 20 {
			r := target.Do(t, "POST", "/users", UserBody("Ada", Email())).Want(t, 201)
			at := fmt.Sprintf("Clusterlite-Min-Position: %d", r.Position(t))
			got := target.Do(t, "GET", r.Header.Get("Location"), "", "Clusterlite-Consistency: eventual", at).Want(t, 200)
			if got.Position(t) < r.Position(t) {
				t.Errorf("got position %d, want at least %d", got.Position(t), r.Position(t))
			}
		}
	})
	t.Run("a wait for a position is bounded", func(t *testing.T) {
		start := time.Now()
		r := target.Do(t, "GET", absent, "", "Clusterlite-Min-Position: 999999999999")
		r.Problem(t, 400, "malformed-request") // the log does not reach it
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("got an answer after %s, want it within 20 s", took)
		}
	})
	t.Run("bad positions", func(t *testing.T) {
		for _, p := range []string{"-1", "x", "1.5", "0x10", "99999999999999999999", "1,2"} {
			target.Do(t, "GET", absent, "", "Clusterlite-Min-Position: "+p).Problem(t, 400, "malformed-request")
		}
	})
}

// readsOwnWrites creates, changes and deletes one entity, and reads it after each step.
func readsOwnWrites(t *testing.T, target Target) {
	r, err := Send("POST", target.URL+"/users", UserBody("1", Email()))
	if err != nil || r.Status != 201 {
		t.Errorf("create: got %d, %v, want 201: %s", r.Status, err, r.Body)
		return
	}
	url := target.URL + r.Header.Get("Location")
	read := func(status int, body []byte) {
		got, err := Send("GET", url, "")
		if err != nil || got.Status != status || body != nil && string(got.Body) != string(body) {
			t.Errorf("read: got %d, %v: %s, want %d: %s", got.Status, err, got.Body, status, body)
		}
		if c := got.Header.Get("Clusterlite-Consistency"); c != "strong" {
			t.Errorf("got consistency %q, want strong", c)
		}
	}
	read(200, r.Body)
	if r, err = Send("PATCH", url, `{"name":"2"}`); err != nil || r.Status != 200 {
		t.Errorf("patch: got %d, %v, want 200: %s", r.Status, err, r.Body)
	}
	read(200, r.Body)
	if r, err = Send("DELETE", url, ""); err != nil || r.Status != 204 {
		t.Errorf("delete: got %d, %v, want 204: %s", r.Status, err, r.Body)
	}
	read(404, nil)
}
