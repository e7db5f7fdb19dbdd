package queryapi_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/servicetest"
)

// readHeaders are the header fields that a read takes into account.
var readHeaders = []string{
	"Accept", "Accept-Encoding", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range", "Prefer",
	"Clusterlite-Consistency", "Clusterlite-Min-Position", "Clusterlite-Half-Duplex", "Clusterlite-Try-Next",
	"X-Request-Id", "Traceparent", "Tracestate", "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Authorization",
}

// FuzzReadHeaders sends arbitrary values of one header field, once or twice, with a read of a list
// and of an entity.
func FuzzReadHeaders(f *testing.F) {
	n := newNode(f)
	id, _ := n.created(1)
	n.get("/users/"+id, 200) // waits until the node has the entity
	// A read from a position that does not exist waits as long as the node lets it. The fuzzer treats a call
	// that takes ten seconds as a deadlock.
	impatient := servingWithin(100*time.Millisecond, n.log, n.model, servicetest.Collections(f))
	for i := range readHeaders {
		for _, value := range []string{"", `"1"`, "*", "W/\"x\"", "eventual", "9223372036854775808", "9223372036854775807", "application/x-ndjson;q=0", "gzip;q=x", "Wed, 21 Oct 2015 07:28:00 GMT", "a\xff", strings.Repeat(",", 100), "bytes=0-1"} {
			f.Add(uint8(i), value, false)
		}
	}
	oneLine := regexp.MustCompile(`[\r\n\x00]`)
	f.Fuzz(func(t *testing.T, field uint8, value string, twice bool) {
		if strings.ContainsAny(value, "\r\n\x00") {
			t.Skip("net/http rejects such a request before a handler sees it")
		}
		name := readHeaders[int(field)%len(readHeaders)]
		for _, path := range []string{"/users?limit=1", "/users/" + id} {
			r, err := http.NewRequest(http.MethodGet, "http://x"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Clusterlite-Consistency", "eventual")
			r.Header[name] = []string{value}
			if twice {
				r.Header[name] = []string{value, value}
			}
			handler := n.Handler
			if name == "Clusterlite-Min-Position" {
				handler = impatient
			}
			answer := servicetest.Serve(handler, r)
			body := servicetest.Body(t, answer)
			switch answer.StatusCode {
			case 200, 304, 400, 406, 412:
			case 503: // a position that does not exist
				if name != "Clusterlite-Min-Position" {
					t.Errorf("GET %s with %s %q: got 503: %s, want another status", path, name, value, body)
				}
			default:
				t.Errorf("GET %s with %s %q: got %d: %s, want a status for a bad request", path, name, value, answer.StatusCode, body)
			}
			for field, values := range answer.Header {
				if oneLine.MatchString(field + strings.Join(values, "")) {
					t.Errorf("GET %s with %s %q: got the header field %s %q, want one line", path, name, value, field, values)
				}
			}
		}
	})
}
