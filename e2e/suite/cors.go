package suite

import (
	"slices"
	"strings"
	"testing"
)

func cors(t *testing.T, target Target) {
	e := target.Create(t, "Ada")
	const origin = "Origin: https://app.example.com"
	t.Run("scripts may read answers, errors too", func(t *testing.T) {
		for _, path := range []string{"/users/" + e.ID, "/users?limit=1", absent, "/nothing"} {
			r := target.Do(t, "GET", path, "", origin)
			if r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: got the header %v, want all origins without credentials", path, r.Header)
			}
			for _, name := range []string{"ETag", "Location", "Link", "Last-Modified", "Retry-After", "Total-Count", "X-Request-Id", "Clusterlite-Position", "Clusterlite-Consistency"} {
				if !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), name) {
					t.Errorf("%s: got %s hidden from scripts, want it exposed", path, name)
				}
			}
		}
	})
	t.Run("every documented header field is allowed", func(t *testing.T) {
		asked, answered := target.documentedFields(t)
		h := target.Do(t, "OPTIONS", "/users/"+e.ID, "", origin, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization").Want(t, 204).Header
		// The description leaves out header fields of standards, and those that a proxy in
		// front of the store may need.
		for _, name := range append(asked, "Accept", "Authorization", "Content-Encoding", "Content-Type", "X-Request-Id", "traceparent", "tracestate") {
			if !listed(h.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("got the allowed headers %[2]s, want %[1]s among them", name, h.Get("Access-Control-Allow-Headers"))
			}
		}
		h = target.Do(t, "GET", "/users/"+e.ID, "", origin).Want(t, 200).Header
		for name := range h {
			if !strings.HasPrefix(name, "Access-Control-") && name != "Server" && name != "Connection" {
				answered = append(answered, name)
			}
		}
		for _, name := range answered {
			if !listed(h.Get("Access-Control-Expose-Headers")+", Cache-Control, Content-Length, Content-Type", name) { // always readable
				t.Errorf("got the exposed headers %[2]s, want %[1]s among them", name, h.Get("Access-Control-Expose-Headers"))
			}
		}
	})
	t.Run("preflights are answered", func(t *testing.T) {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			r := target.Do(t, "OPTIONS", "/users/"+e.ID, "", origin, "Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: content-type, if-match").Want(t, 204)
			if r.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), method) ||
				!strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "If-Match") || r.Header.Get("Access-Control-Max-Age") == "" {
				t.Errorf("%s: got the header %v, want the answer to a preflight", method, r.Header)
			}
		}
	})
	t.Run("no origin, no CORS", func(t *testing.T) {
		if r := target.Do(t, "GET", "/users/"+e.ID, ""); r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("got the header %v, want no CORS field", r.Header)
		}
	})
}

// listed reports whether a list of header fields contains a name.
func listed(list, name string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(field string) bool {
		return strings.EqualFold(strings.TrimSpace(field), name)
	})
}

// documentedFields returns the header fields of requests and of answers that the target's
// description names.
func (target Target) documentedFields(t *testing.T) (asked, answered []string) {
	t.Helper()
	d := describe(target.URL)
	if d.err != nil {
		t.Fatalf("read the description: %v", d.err)
	}
	for _, p := range d.doc.Components.Parameters {
		if p.Value.In == "header" {
			asked = append(asked, p.Value.Name)
		}
	}
	for name := range d.doc.Components.Headers {
		answered = append(answered, name)
	}
	for _, path := range d.doc.Paths.Map() {
		for _, operation := range path.Operations() {
			for _, p := range operation.Parameters {
				if p.Value.In == "header" {
					asked = append(asked, p.Value.Name)
				}
			}
			for _, r := range operation.Responses.Map() {
				for name := range r.Value.Headers {
					answered = append(answered, name)
				}
			}
		}
	}
	if len(asked) == 0 || len(answered) == 0 {
		t.Fatalf("got %d documented fields of requests and %d of answers, want some of each", len(asked), len(answered))
	}
	return asked, answered
}
