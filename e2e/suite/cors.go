package suite

import (
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
				t.Errorf("%s: %v", path, r.Header)
			}
			for _, name := range []string{"ETag", "Location", "Link", "Last-Modified", "Retry-After", "Total-Count", "X-Request-Id", "Clusterlite-Position", "Clusterlite-Consistency"} {
				if !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), name) {
					t.Errorf("%s: %s is not exposed", path, name)
				}
			}
		}
	})
	t.Run("preflights are answered", func(t *testing.T) {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			r := target.Do(t, "OPTIONS", "/users/"+e.ID, "", origin, "Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: content-type, if-match").Want(t, 204)
			if r.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), method) ||
				!strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "If-Match") || r.Header.Get("Access-Control-Max-Age") == "" {
				t.Errorf("%s: %v", method, r.Header)
			}
		}
	})
	t.Run("no origin, no CORS", func(t *testing.T) {
		if r := target.Do(t, "GET", "/users/"+e.ID, ""); r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%v", r.Header)
		}
	})
}
