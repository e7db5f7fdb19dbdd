package suite

import (
	"strings"
	"testing"
)

// accept tests every method with every kind of Accept field. A field that names no available
// type gets the available one. Only a field that excludes the available type is rejected, and
// then nothing is done.
func accept(t *testing.T, target Target) {
	const html = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8" // the field of a browser
	answered := []string{
		"*/*", "application/json", "application/*", "APPLICATION/JSON", "application/json; charset=utf-8", html,
		"text/html", "text/csv", "image/*", "application/problem+json", "application/vnd.api+json", "application/yaml", "application/json;version=2",
		"text/html, application/json;q=0.1", "application/json;q=x", "application/json;q=2", "json", ",", ";", "text/html;q=0", "application/xml;a=\"b,c\"",
	}
	refused := []string{"application/json;q=0", "application/xml;q=1, */*;q=0", "*/*;q=0", "application/*;q=0.0", "application/json; Q=0.000, text/html"}

	t.Run("every other client gets JSON", func(t *testing.T) {
		for _, field := range append(answered, ndjson, ndjson+", text/html", ndjson+";q=0") {
			header := "Accept: " + field
			r := target.Do(t, "POST", "/users", UserBody("Ada", Email()), header).Want(t, 201)
			path := r.Header.Get("Location")
			for _, r := range []Response{
				r,
				target.Do(t, "GET", path, "", header).Want(t, 200),
				target.Do(t, "HEAD", path, "", header).Want(t, 200),
				target.Do(t, "PUT", path, UserBody("Ada", Email()), header).Want(t, 200),
				target.Do(t, "PATCH", path, `{"name":"Eve"}`, header).Want(t, 200),
				target.Do(t, "GET", "/", "", header).Want(t, 200),
				target.Do(t, "GET", "/openapi.json", "", header).Want(t, 200),
			} {
				if got := r.Header.Get("Content-Type"); got != "application/json" {
					t.Errorf("Accept: %s: got Content-Type %q, want application/json", field, got)
				}
			}
			target.Do(t, "GET", "/docs", "", header).Want(t, 200)
			r = target.Do(t, "DELETE", path, "", header).Want(t, 204)
			if len(r.Body) != 0 || r.Header.Get("Content-Type") != "" {
				t.Errorf("Accept: %s: got an answer to DELETE with the body %[3]q and the header %[2]v, want no body", field, r.Header, r.Body)
			}
			target.Do(t, "GET", path, "", header).Problem(t, 404, "not-found")
			target.Do(t, "POST", "/users", "{", header).Problem(t, 400, "malformed-request")
		}
	})
	t.Run("a list is JSON unless lines are requested", func(t *testing.T) {
		for field, want := range map[string]string{
			ndjson: ndjson, ndjson + ", text/html": ndjson, "application/json;q=0, */*": ndjson, "application/json;q=0.5, " + ndjson: ndjson,
			ndjson + ", application/json": "application/json", ndjson + ";q=0": "application/json", "application/x-ndjson;q=0.1, application/json;q=0.2": "application/json",
		} {
			for _, method := range []string{"GET", "HEAD"} {
				r := target.Do(t, method, "/users?limit=1", "", "Accept: "+field).Want(t, 200)
				if got := r.Header.Get("Content-Type"); got != want {
					t.Errorf("%s with Accept: %s: got Content-Type %q, want %q", method, field, got, want)
				}
			}
		}
		for _, field := range answered {
			r := target.Do(t, "GET", "/users?limit=1", "", "Accept: "+field).Want(t, 200)
			if got := r.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Accept: %s: got Content-Type %q, want application/json", field, got)
			}
		}
	})
	t.Run("an import answers with lines", func(t *testing.T) {
		for _, field := range append(answered, ndjson, "application/json;q=0") {
			r := target.Do(t, "POST", "/users", UserBody("Ada", Email())+"\n", "Content-Type: "+ndjson, "Accept: "+field).Want(t, 200)
			if got := r.Header.Get("Content-Type"); got != ndjson {
				t.Errorf("Accept: %s: got Content-Type %q, want %q", field, got, ndjson)
			}
		}
		for _, field := range []string{ndjson + ";q=0", "*/*;q=0"} {
			target.Do(t, "POST", "/users", UserBody("Ada", Email())+"\n", "Content-Type: "+ndjson, "Accept: "+field).Problem(t, 406, "not-acceptable")
		}
	})
	t.Run("a client that rules out JSON is rejected, and nothing is done", func(t *testing.T) {
		e := target.Create(t, "Ada")
		path := "/users/" + e.ID
		before := target.Do(t, "GET", path, "").Want(t, 200)
		for _, field := range refused {
			header := "Accept: " + field
			for _, p := range []string{path, "/users", "/", "/openapi.json"} {
				target.Do(t, "GET", p, "", header).Problem(t, 406, "not-acceptable")
				if r := target.Do(t, "HEAD", p, "", header).Want(t, 406); len(r.Body) != 0 {
					t.Errorf("HEAD %s: got a body, want none", p)
				}
			}
			for _, request := range [][2]string{{"POST", "/users"}, {"PUT", path}, {"PATCH", path}} {
				p := target.Do(t, request[0], request[1], UserBody("Eve", Email()), header).Problem(t, 406, "not-acceptable")
				if !strings.Contains(p.Detail, "application/json") || !strings.Contains(p.Detail, "Nothing was done") {
					t.Errorf("got the detail %q, want the available type and that nothing was done", p.Detail)
				}
			}
		}
		after := target.Do(t, "GET", path, "").Want(t, 200)
		if string(after.Body) != string(before.Body) || target.Exclusive && after.Position(t) != before.Position(t) {
			t.Errorf("got %s at %d, want %s at %d", after.Body, after.Position(t), before.Body, before.Position(t))
		}
		// The answer to DELETE has no body, so there is nothing to exclude.
		target.Do(t, "DELETE", path, "", "Accept: "+refused[0]).Want(t, 204)
	})
}
