package suite

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var uuidv7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

const absent = "/users/01234567-89ab-7def-8123-456789abcdef"

func entities(t *testing.T, target Target) {
	t.Run("a created entity has an id and can be read", func(t *testing.T) {
		email := Email()
		r := target.Do(t, "POST", "/users", UserBody("Ada", email)).Want(t, 201)
		e := r.Entity(t)
		if !uuidv7.MatchString(e.ID) || e.Version != 1 || e.Name != "Ada" || e.Email != email || e.CreatedAt != e.UpdatedAt || !strings.HasSuffix(e.CreatedAt, "Z") {
			t.Errorf("got %s, want version 1 of Ada", r.Body)
		}
		if r.Header.Get("Location") != "/users/"+e.ID || r.Header.Get("ETag") != `"1"` {
			t.Errorf("got Location %q and ETag %q, want those of version 1 of %s", r.Header.Get("Location"), r.Header.Get("ETag"), e.ID)
		}
		got := target.Do(t, "GET", r.Header.Get("Location"), "").Want(t, 200)
		if string(got.Body) != string(r.Body) || got.Header.Get("ETag") != `"1"` || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("read: got %s, %v, want %s", got.Body, got.Header, r.Body)
		}
		if _, err := http.ParseTime(got.Header.Get("Last-Modified")); err != nil {
			t.Errorf("Last-Modified: got %v, want a date", err)
		}
		if got.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("got Cache-Control %q, want no-cache: a cache could give a stale answer", got.Header.Get("Cache-Control"))
		}
	})
	t.Run("PUT replaces", func(t *testing.T) {
		e := target.Create(t, "Ada")
		email := Email()
		r := target.Do(t, "PUT", "/users/"+e.ID, UserBody("Grace", email)).Want(t, 200)
		got := r.Entity(t)
		if got.ID != e.ID || got.Version != 2 || got.Name != "Grace" || got.Email != email || got.CreatedAt != e.CreatedAt || r.Header.Get("ETag") != `"2"` {
			t.Errorf("got %s, want version 2 of Grace", r.Body)
		}
		if read := target.Do(t, "GET", "/users/"+e.ID, "").Want(t, 200); string(read.Body) != string(r.Body) {
			t.Errorf("read: got %s, want %s", read.Body, r.Body)
		}
	})
	t.Run("PATCH merges", func(t *testing.T) {
		e := target.Create(t, "Ada")
		for _, kind := range []string{"application/merge-patch+json", "application/json"} {
			got := target.Do(t, "PATCH", "/users/"+e.ID, `{"name":"Grace"}`, "Content-Type: "+kind).Want(t, 200).Entity(t)
			if got.Name != "Grace" || got.Email != e.Email {
				t.Errorf("%s: got %+v, want the name Grace and the same address", kind, got)
			}
		}
		p := target.Do(t, "PATCH", "/users/"+e.ID, `{"email":null}`).Problem(t, 422, "invalid-document")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/email" || strings.Count(p.Detail, "after the patch")+strings.Count(p.Detail, "After the patch") != 1 {
			t.Errorf("got the problem %+v, want one error for /email after the patch", p)
		}
	})
	t.Run("a representation can be sent back", func(t *testing.T) {
		e := target.Create(t, "Ada")
		body := strings.Replace(string(target.Do(t, "GET", "/users/"+e.ID, "").Want(t, 200).Body), `"Ada"`, `"Grace"`, 1)
		if got := target.Do(t, "PUT", "/users/"+e.ID, body).Want(t, 200).Entity(t); got.Version != 2 || got.ID != e.ID || got.Name != "Grace" {
			t.Errorf("got %+v, want version 2 of Grace", got)
		}
		body = strings.Replace(body, `"Grace"`, `"Eve"`, 1)
		if got := target.Do(t, "PATCH", "/users/"+e.ID, body).Want(t, 200).Entity(t); got.Version != 3 || got.Name != "Eve" {
			t.Errorf("got %+v, want version 3 of Eve", got)
		}
	})
	t.Run("a write that changes nothing creates no version", func(t *testing.T) {
		e := target.Create(t, "Ada")
		path := "/users/" + e.ID
		before := target.Do(t, "GET", path, "").Want(t, 200)
		for _, c := range [][]string{
			{"PUT", string(before.Body)}, {"PUT", UserBody("Ada", e.Email)}, {"PATCH", string(before.Body)}, {"PATCH", `{}`}, {"PATCH", `{"name":"Ada"}`, `If-Match: "1"`},
		} {
			if c[0] == "PUT" && c[1] != string(before.Body) && !bytes.Contains(before.Body, []byte(strings.Trim(c[1], "{}"))) {
				continue // its members have another order, which counts as a change
			}
			r := target.Do(t, c[0], path, c[1], c[2:]...).Want(t, 200)
			if string(r.Body) != string(before.Body) || r.Header.Get("ETag") != `"1"` || r.Position(t) < before.Position(t) {
				t.Errorf("%v: got %s, ETag %s, position %d, want the unchanged entity", c, r.Body, r.Header.Get("ETag"), r.Position(t))
			}
		}
		target.Do(t, "PATCH", path, `{}`, `If-Match: "2"`).Problem(t, 412, "version-mismatch")
		if after := target.Do(t, "GET", path, ""); string(after.Body) != string(before.Body) || target.Exclusive && after.Position(t) != before.Position(t) {
			t.Errorf("got %s at %d, want the unchanged %s at %d", after.Body, after.Position(t), before.Body, before.Position(t))
		}
		// A write with a key creates a version, so that the key is stored.
		key := "Idempotency-Key: " + Key()
		first := target.Do(t, "PATCH", path, `{"name":"Ada"}`, key).Want(t, 200)
		target.Do(t, "PATCH", path, `{"name":"Eve"}`).Want(t, 200)
		target.Do(t, "PATCH", path, `{"name":"Ada"}`, key).Same(t, first)
		if got := target.Do(t, "GET", path, "").Entity(t); first.Entity(t).Version != 2 || got.Version != 3 || got.Name != "Eve" {
			t.Errorf("after a retry: got %+v, want version 3 of Eve", got)
		}
	})
	t.Run("clients can't set the server's members", func(t *testing.T) {
		body := `{"id":"x","version":7,"created_at":"never","updated_at":1,"name":"Ada","email":"` + Email() + `"}`
		e := target.Do(t, "POST", "/users", body).Want(t, 201).Entity(t)
		if !uuidv7.MatchString(e.ID) || e.Version != 1 {
			t.Errorf("got %+v, want version 1 with an id of the store", e)
		}
		for _, method := range []string{"PUT", "PATCH"} {
			p := target.Do(t, method, "/users/"+e.ID, `{"id":"another","name":"Ada","email":"`+Email()+`"}`).Problem(t, 422, "invalid-document")
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "/id" {
				t.Errorf("%s: got the errors %+v, want one for /id", method, p.Errors)
			}
		}
	})
	t.Run("DELETE deletes permanently", func(t *testing.T) {
		e := target.Create(t, "Ada")
		if r := target.Do(t, "DELETE", "/users/"+e.ID, "").Want(t, 204); len(r.Body) > 0 {
			t.Errorf("got the body %s, want none", r.Body)
		}
		for _, method := range []string{"GET", "DELETE"} {
			target.Do(t, method, "/users/"+e.ID, "").Problem(t, 404, "not-found")
		}
		for _, method := range []string{"PUT", "PATCH"} {
			target.Do(t, method, "/users/"+e.ID, UserBody("Ada", Email())).Problem(t, 404, "not-found")
		}
	})
	t.Run("an unknown entity is not created by an update", func(t *testing.T) {
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			body := UserBody("Ada", Email())
			if method == "DELETE" {
				body = ""
			}
			target.Do(t, method, absent, body).Problem(t, 404, "not-found")
			target.Do(t, "GET", absent, "").Problem(t, 404, "not-found")
		}
	})
	t.Run("unique values are unique", func(t *testing.T) {
		e := target.Create(t, "Ada")
		other := target.Create(t, "Grace")
		for _, taken := range []string{e.Email, strings.ToUpper(e.Email)} {
			for _, request := range [][2]string{{"POST", "/users"}, {"PUT", "/users/" + other.ID}, {"PATCH", "/users/" + other.ID}} {
				p := target.Do(t, request[0], request[1], UserBody("Eve", taken)).Problem(t, 409, "unique-taken")
				if len(p.Errors) != 1 || p.Errors[0].Pointer != "/email" {
					t.Errorf("%s: got the errors %+v, want one for /email", request[0], p.Errors)
				}
			}
		}
		target.Do(t, "PUT", "/users/"+e.ID, UserBody("Ada", strings.ToUpper(e.Email))).Want(t, 200)
		target.Do(t, "DELETE", "/users/"+e.ID, "").Want(t, 204)
		target.Do(t, "PUT", "/users/"+other.ID, UserBody("Grace", e.Email)).Want(t, 200)
		target.Do(t, "POST", "/users", UserBody("New", other.Email)).Want(t, 201)
	})
	t.Run("HEAD is GET without a body", func(t *testing.T) {
		e := target.Create(t, "Ada")
		for _, path := range []string{"/users/" + e.ID, "/users?limit=1"} {
			get, head := target.samePosition(t, path)
			for _, name := range []string{"ETag", "Last-Modified", "Content-Type", "Content-Length", "Clusterlite-Consistency"} {
				if get.Header.Get(name) != head.Header.Get(name) {
					t.Errorf("%s: got %s %q, want that of GET, %q", path, name, head.Header.Get(name), get.Header.Get(name))
				}
			}
			if len(head.Body) > 0 {
				t.Errorf("%s: got a body, want none", path)
			}
		}
		if r := target.Do(t, "HEAD", absent, "").Want(t, 404); len(r.Body) > 0 {
			t.Errorf("got the body %s, want none", r.Body)
		}
	})
	t.Run("request ids round-trip", func(t *testing.T) {
		if r := target.Do(t, "GET", absent, "", "X-Request-Id: my.id:1"); r.Header.Get("X-Request-Id") != "my.id:1" || len(r.Header.Values("X-Request-Id")) != 1 {
			t.Errorf("got X-Request-Id %v, want only my.id:1", r.Header.Values("X-Request-Id"))
		}
		if r := target.Do(t, "GET", absent, "", "X-Request-Id: not a sane one"); r.Header.Get("X-Request-Id") == "" || strings.Contains(r.Header.Get("X-Request-Id"), " ") {
			t.Errorf("got X-Request-Id %v, want a new one", r.Header.Values("X-Request-Id"))
		}
	})
}

func preconditions(t *testing.T, target Target) {
	e := target.Create(t, "Ada")
	path := "/users/" + e.ID
	t.Run("If-None-Match", func(t *testing.T) {
		for header, status := range map[string]int{`"1"`: 304, `W/"1"`: 304, `*`: 304, `"7", "1"`: 304, `"2"`: 200, `"x"`: 200, `W/"2", "3"`: 200} {
			r := target.Do(t, "GET", path, "", "If-None-Match: "+header).Want(t, status)
			if r.Header.Get("ETag") != `"1"` || status == 304 && len(r.Body) > 0 {
				t.Errorf("%s: got the header %v, want ETag \"1\" and no body with 304", header, r.Header)
			}
		}
	})
	t.Run("If-Match", func(t *testing.T) {
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			for _, header := range []string{`"99"`, `W/"1"`, `"x"`, `"01"`} {
				r := target.Do(t, method, path, UserBody("Eve", Email()), "If-Match: "+header)
				r.Problem(t, 412, "version-mismatch")
				if r.Header.Get("ETag") != `"1"` {
					t.Errorf("%s: got ETag %q, want \"1\"", method, r.Header.Get("ETag"))
				}
			}
		}
		if got := target.Do(t, "PUT", path, UserBody("Grace", e.Email), `If-Match: "5", "1"`).Want(t, 200).Entity(t); got.Version != 2 {
			t.Errorf("got %+v, want version 2", got)
		}
		target.Do(t, "PATCH", path, `{"name":"A"}`, `If-Match: "1"`).Problem(t, 412, "version-mismatch")
		target.Do(t, "PATCH", path, `{"name":"A"}`, `If-Match: *`).Want(t, 200)
		target.Do(t, "DELETE", path, "", `If-Match: "3"`).Want(t, 204)
		target.Do(t, "DELETE", path, "", `If-Match: "4"`).Problem(t, 404, "not-found")
	})
	t.Run("bad tags", func(t *testing.T) {
		e := target.Create(t, "Ada")
		for _, header := range []string{`1`, `"1`, `"1" "2"`, `w/"1"`, `,`} {
			target.Do(t, "DELETE", "/users/"+e.ID, "", "If-Match: "+header).Problem(t, 400, "malformed-request")
			target.Do(t, "GET", "/users/"+e.ID, "", "If-None-Match: "+header).Problem(t, 400, "malformed-request")
		}
	})
}

// samePosition sends GET and HEAD until both answers have the same position, because other
// clients may be writing.
func (target Target) samePosition(t *testing.T, path string) (get, head Response) {
	t.Helper()
	for range 1000 {
		get, head = target.Do(t, "GET", path, "").Want(t, 200), target.Do(t, "HEAD", path, "").Want(t, 200)
		if get.Position(t) == head.Position(t) {
			return get, head
		}
	}
	t.Fatalf("%s: got no answers to GET and HEAD with the same position", path)
	return get, head
}
