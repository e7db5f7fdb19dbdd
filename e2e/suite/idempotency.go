package suite

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Key returns an idempotency key that no other test has used.
func Key() string { return fmt.Sprintf("k-%d-%d", run, counter.Add(1)) }

// Same fails the test unless an answer repeats another.
func (r Response) Same(t testing.TB, first Response) {
	t.Helper()
	if r.Status != first.Status || !bytes.Equal(r.Body, first.Body) {
		t.Errorf("got %d %s, want the first answer, %d %s", r.Status, r.Body, first.Status, first.Body)
	}
	for _, name := range []string{"ETag", "Location", "Content-Type", "Clusterlite-Position"} {
		if r.Header.Get(name) != first.Header.Get(name) {
			t.Errorf("got %s %q, want that of the first answer, %q", name, r.Header.Get(name), first.Header.Get(name))
		}
	}
}

func idempotency(t *testing.T, target Target) {
	t.Run("the first outcome is repeated", func(t *testing.T) {
		create, body := "Idempotency-Key: "+Key(), UserBody("Ada", Email())
		first := target.Do(t, "POST", "/users", body, create).Want(t, 201)
		path := first.Header.Get("Location")
		target.Do(t, "POST", "/users", body, create).Same(t, first)

		patch := "Idempotency-Key: " + Key()
		second := target.Do(t, "PATCH", path, `{"name":"B"}`, patch, `If-Match: "1"`).Want(t, 200)
		target.Do(t, "PUT", path, UserBody("C", Email())).Want(t, 200)
		// The entity no longer has the version that the request demands, nor the same content.
		target.Do(t, "PATCH", path, `{"name":"B"}`, patch, `If-Match: "1"`).Same(t, second)

		remove := "Idempotency-Key: " + Key()
		third := target.Do(t, "DELETE", path, "", remove).Want(t, 204)
		target.Do(t, "DELETE", path, "", remove).Same(t, third)
		target.Do(t, "DELETE", path, "").Want(t, 404)
		target.Do(t, "POST", "/users", body, create).Same(t, first)
	})
	t.Run("a different request with the same key is rejected", func(t *testing.T) {
		key, body := "Idempotency-Key: "+Key(), UserBody("Ada", Email())
		first := target.Do(t, "POST", "/users", body, key).Want(t, 201)
		path := first.Header.Get("Location")
		target.Do(t, "POST", "/users", body+" ", key).Problem(t, 422, "idempotency-key-reused")
		target.Do(t, "PUT", path, body, key).Problem(t, 422, "idempotency-key-reused")
		target.Do(t, "DELETE", path, "", key).Problem(t, 422, "idempotency-key-reused")
		target.Do(t, "POST", "/users", body, key).Same(t, first)
	})
	t.Run("a refusal is not stored", func(t *testing.T) {
		e := target.Create(t, "Ada")
		key, body := "Idempotency-Key: "+Key(), UserBody("Eve", e.Email)
		target.Do(t, "POST", "/users", body, key).Problem(t, 409, "unique-taken")
		target.Do(t, "DELETE", "/users/"+e.ID, "").Want(t, 204)
		first := target.Do(t, "POST", "/users", body, key).Want(t, 201)
		target.Do(t, "POST", "/users", body, key).Same(t, first)
	})
	t.Run("one of many concurrent requests is carried out", func(t *testing.T) {
		key, body := "Idempotency-Key: "+Key(), UserBody("Ada", Email())
		answers := make([]Response, 16)
		var wait sync.WaitGroup
		for i := range answers {
			wait.Go(func() {
				for {
					r, err := Send("POST", target.URL+"/users", body, key)
					if err != nil {
						t.Error(err)
						return
					}
					if answers[i] = r; r.Status != 409 {
						return
					}
					r.Problem(t, 409, "idempotency-in-flight")
					if r.Header.Get("Retry-After") == "" {
						t.Error("got no Retry-After, want one")
					}
				}
			})
		}
		wait.Wait()
		for _, r := range answers {
			r.Want(t, 201).Same(t, answers[0])
		}
	})
	t.Run("bad keys", func(t *testing.T) {
		for _, key := range []string{"a b", "ä", strings.Repeat("x", 256), "a\tb"} {
			target.Do(t, "POST", "/users", UserBody("Ada", Email()), "Idempotency-Key: "+key).Problem(t, 400, "malformed-request")
		}
		target.Do(t, "POST", "/users", UserBody("Ada", Email()), "Idempotency-Key: "+Key()+strings.Repeat("~", 200)).Want(t, 201)
	})
}
