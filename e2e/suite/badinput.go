package suite

import (
	"strings"
	"testing"
)

func deep(levels int) string {
	return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
}

func badInput(t *testing.T, target Target) {
	e := target.Create(t, "Ada")
	path := "/users/" + e.ID
	before := target.Do(t, "GET", path, "").Want(t, 200)

	t.Run("bodies", func(t *testing.T) {
		for name, c := range map[string]struct {
			body   string
			status int
			kind   string
		}{
			"truncated":            {`{"name":"Ada","email`, 400, "malformed-request"},
			"empty":                {` `, 400, "malformed-request"},
			"not JSON":             {`name=Ada`, 400, "malformed-request"},
			"two documents":        {`{"name":"a","email":"a@b.cd"}{}`, 400, "malformed-request"},
			"a member twice":       {`{"name":"a","name":"b","email":"a@b.cd"}`, 400, "malformed-request"},
			"bad UTF-8":            {"{\"name\":\"\xff\xfe\",\"email\":\"a@b.cd\"}", 400, "malformed-request"},
			"byte order mark":      {"\xef\xbb\xbf{\"name\":\"a\",\"email\":\"a@b.cd\"}", 400, "malformed-request"},
			"UTF-16":               {"\xff\xfe{\x00}\x00", 400, "malformed-request"},
			"a lone surrogate":     {`{"name":"\ud800","email":"a@b.cd"}`, 400, "malformed-request"},
			"a NUL byte":           {"{\"name\":\"\x00\",\"email\":\"a@b.cd\"}", 400, "malformed-request"},
			"array":                {`[]`, 422, "invalid-document"},
			"string":               {`"x"`, 422, "invalid-document"},
			"null":                 {`null`, 422, "invalid-document"},
			"65 levels":            {`{"name":"a","email":"a@b.cd","x":` + deep(64) + `}`, 422, "invalid-document"},
			"100,000 levels":       {strings.Repeat(`{"a":`, 100_000), 400, "malformed-request"},
			"100,000 arrays":       {`{"name":` + strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000) + `}`, 4, "m"},
			"wrong types":          {`{"name":1,"email":true}`, 422, "invalid-document"},
			"a null":               {`{"name":null,"email":"a@b.cd"}`, 422, "invalid-document"},
			"nothing that it must": {`{"nmae":"a"}`, 422, "invalid-document"},
			"not an address":       {`{"name":"a","email":"nobody"}`, 422, "invalid-document"},
			"a name too long":      {`{"name":"` + strings.Repeat("x", 201) + `","email":"a@b.cd"}`, 422, "invalid-document"},
			"a huge number":        {`{"name":1e999999999,"email":"a@b.cd"}`, 422, "invalid-document"},
		} {
			t.Run(name, func(t *testing.T) {
				for _, request := range [][2]string{{"POST", "/users"}, {"PUT", path}, {"PATCH", path}} {
					if request[0] == "PATCH" && name == "nothing that it must" {
						continue
					}
					r := target.Do(t, request[0], request[1], c.body)
					if c.status == 4 { // too deep for the parser, or for the store
						if r.Status != 400 && r.Status != 422 {
							t.Errorf("%s: got status %d, want 400 or 422", request[0], r.Status)
						}
						continue
					}
					r.Problem(t, c.status, c.kind)
				}
			})
		}
	})
	t.Run("invalid fields of a document are named", func(t *testing.T) {
		p := target.Do(t, "POST", "/users", `{"name":"","email":"nobody","x/y":1}`).Problem(t, 422, "invalid-document")
		got := map[string]bool{}
		for _, f := range p.Errors {
			got[f.Pointer] = f.Detail != ""
		}
		if len(got) != 3 || !got["/name"] || !got["/email"] || !got["/x~1y"] {
			t.Errorf("got the errors %+v, want one each for /name, /email and /x~1y", p.Errors)
		}
	})
	t.Run("large bodies", func(t *testing.T) {
		for _, size := range []int{1<<20 + 1, 2 << 20} {
			body := UserBody("Ada", Email())
			body += strings.Repeat(" ", size-len(body))
			for _, request := range [][2]string{{"POST", "/users"}, {"PUT", path}, {"PATCH", path}} {
				target.Do(t, request[0], request[1], body).Problem(t, 413, "body-too-large")
			}
		}
		body := UserBody("Ada", Email())
		target.Do(t, "POST", "/users", body+strings.Repeat(" ", 1<<20-len(body))).Want(t, 201)
	})
	t.Run("content types", func(t *testing.T) {
		for _, kind := range []string{"", "text/plain", "application/xml", "application/json; charset=latin1", "application/x-www-form-urlencoded", "/", "json"} {
			for _, request := range [][2]string{{"POST", "/users"}, {"PUT", path}, {"PATCH", path}} {
				target.Do(t, request[0], request[1], UserBody("Ada", Email()), "Content-Type: "+kind).Problem(t, 415, "unsupported-media-type")
			}
		}
		target.Do(t, "POST", "/users", UserBody("Ada", Email()), "Content-Type: application/merge-patch+json").Problem(t, 415, "unsupported-media-type")
		target.Do(t, "POST", "/users", UserBody("Ada", Email()), "Content-Type: application/json; charset=UTF-8").Want(t, 201)
	})
	t.Run("paths", func(t *testing.T) {
		for _, collection := range []string{"nothing", "Users", "sqlite_schema", "_claims", "users;", "users'--"} {
			target.Do(t, "GET", "/"+collection, "").Problem(t, 404, "unknown-collection")
			target.Do(t, "GET", "/"+collection+"/"+e.ID, "").Problem(t, 404, "unknown-collection")
			target.Do(t, "POST", "/"+collection, UserBody("Ada", Email())).Problem(t, 404, "unknown-collection")
			target.Do(t, "DELETE", "/"+collection+"/"+e.ID, "").Problem(t, 404, "unknown-collection")
		}
		for _, id := range []string{"1", strings.ToUpper(e.ID), e.ID + "x", e.ID + "%20", "x'%20OR%201=1", strings.Repeat("a", 2000), "null"} {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				body := UserBody("Ada", Email())
				if method == "GET" || method == "DELETE" {
					body = ""
				}
				target.Do(t, method, "/users/"+id, body).Problem(t, 404, "not-found")
			}
		}
		// A proxy may reject a request that looks like an attack before a service sees it.
		for _, path := range []string{"/%00", "/users/%00", "/users/" + e.ID + "%00", "/users/..%2f..%2fetc", "/users/../../etc"} {
			r := target.Do(t, "GET", path, "")
			if r.Status == 400 {
				r.Problem(t, 400, "malformed-request")
				continue
			}
			r.Want(t, 404)
		}
		for _, path := range []string{"/users/", path + "/", path + "/x", "//users"} {
			target.Do(t, "GET", path, "").Want(t, 404)
		}
	})
	t.Run("methods", func(t *testing.T) {
		for _, c := range []struct{ method, path, allow string }{
			{"PUT", "/users", "GET, HEAD, POST, OPTIONS"},
			{"DELETE", "/users", "GET, HEAD, POST, OPTIONS"},
			{"PATCH", "/users", "GET, HEAD, POST, OPTIONS"},
			{"POST", path, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"},
			{"FOO", path, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"},
			{"PROPFIND", "/users", "GET, HEAD, POST, OPTIONS"},
		} {
			r := target.Do(t, c.method, c.path, UserBody("Ada", Email()))
			r.Problem(t, 405, "method-not-allowed")
			if r.Header.Get("Allow") != c.allow {
				t.Errorf("%s %s: got Allow %q, want %q", c.method, c.path, r.Header.Get("Allow"), c.allow)
			}
		}
		for path, allow := range map[string]string{"/users": "GET, HEAD, POST, OPTIONS", path: "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"} {
			if r := target.Do(t, "OPTIONS", path, "").Want(t, 204); r.Header.Get("Allow") != allow {
				t.Errorf("got Allow %q, want %q", r.Header.Get("Allow"), allow)
			}
		}
	})
	t.Run("huge headers", func(t *testing.T) {
		for _, method := range []string{"GET", "DELETE"} {
			// A server may close the connection, but only after it has sent the reason.
			r, err := Send(method, target.URL+path, "", "X-Filler: "+strings.Repeat("x", 200_000))
			if err == nil && r.Status != 431 && r.Status != 400 {
				t.Errorf("%s: got status %d, want 431 or 400", method, r.Status)
			}
		}
	})
	t.Run("unsupported preconditions are rejected", func(t *testing.T) {
		target.Do(t, "PUT", path, UserBody("Eve", Email()), "If-None-Match: *").Problem(t, 400, "malformed-request")
		target.Do(t, "PUT", path, UserBody("Eve", Email()), "If-Unmodified-Since: Tue, 24 Nov 2026 12:00:00 GMT").Problem(t, 400, "malformed-request")
	})
	t.Run("none of it changed anything", func(t *testing.T) {
		after := target.Do(t, "GET", path, "").Want(t, 200)
		if string(after.Body) != string(before.Body) {
			t.Errorf("got %s, want the unchanged %s", after.Body, before.Body)
		}
		// Two creates above are valid.
		if target.Exclusive && after.Position(t) != before.Position(t)+2 {
			t.Errorf("got a log that grew from %d to %d, want 2 more records", before.Position(t), after.Position(t))
		}
	})
}
