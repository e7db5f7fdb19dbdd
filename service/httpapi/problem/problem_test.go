package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Programs compare types and statuses, so they are part of the API and never change.
func TestKindsNeverChange(t *testing.T) {
	for _, k := range []struct {
		kind   problem.Kind
		name   string
		status int
		retry  bool
	}{
		{problem.MalformedRequest, "malformed-request", 400, false},
		{problem.NotFound, "not-found", 404, false},
		{problem.UnknownCollection, "unknown-collection", 404, false},
		{problem.MethodNotAllowed, "method-not-allowed", 405, false},
		{problem.NotAcceptable, "not-acceptable", 406, false},
		{problem.RequestTimeout, "request-timeout", 408, false},
		{problem.UniqueTaken, "unique-taken", 409, false},
		{problem.IdempotencyInFlight, "idempotency-in-flight", 409, true},
		{problem.VersionMismatch, "version-mismatch", 412, false},
		{problem.BodyTooLarge, "body-too-large", 413, false},
		{problem.UnsupportedMediaType, "unsupported-media-type", 415, false},
		{problem.InvalidDocument, "invalid-document", 422, false},
		{problem.IdempotencyKeyReused, "idempotency-key-reused", 422, false},
		{problem.BrokerUnreachable, "broker-unreachable", 503, true},
		{problem.ReadModelBehind, "read-model-behind", 503, true},
		{problem.OutcomeUnknown, "outcome-unknown", 503, true},
		{problem.Overloaded, "overloaded", 503, true},
		{problem.NotReady, "not-ready", 503, true},
		{problem.Internal, "internal", 500, false},
	} {
		p := k.kind.New("Because.")
		if p.Type != "https://clusterlite.dev/problems/"+k.name || p.Status != k.status || p.Title == "" || (p.RetryAfter > 0) != k.retry {
			t.Errorf("%s: got %+v, want its type, status %d and a title", k.name, p, k.status)
		}
	}
}

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	p := problem.UniqueTaken.New("Taken.").With(problem.FieldError{Pointer: "/email", Detail: "is taken"}).Set("ETag", `"3"`)
	if err := p.Write(w, "r-1", true); err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"https://clusterlite.dev/problems/unique-taken","title":"A unique value is already taken","status":409,"detail":"Taken.","instance":"r-1","errors":[{"pointer":"/email","detail":"is taken"}]}`
	r := w.Result()
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != want {
		t.Errorf("got %s, %v, want %s", body, err, want)
	}
	if r.StatusCode != 409 || r.Header.Get("Content-Type") != "application/problem+json" || r.Header.Get("ETag") != `"3"` || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Retry-After") != "" {
		t.Errorf("got %d %v, want 409 with the header of a problem and the given ETag", r.StatusCode, r.Header)
	}
	if p.Instance != "" {
		t.Error("got the problem changed, want it unchanged: it may be shared")
	}
	w = httptest.NewRecorder()
	if err := problem.Overloaded.New("").Write(w, "", false); err != nil || w.Body.Len() != 0 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("got %q, %v, %v, want no body and Retry-After 1", w.Body, w.Header(), err)
	}
}

// An operator sees the cause of a problem, and a client does not.
func TestFrom(t *testing.T) {
	cause := errors.New("disk /dev/sda is on fire")
	for _, err := range []error{cause, problem.NotReady.Because(cause, "Later."), fmt.Errorf("read: %w", problem.NotReady.Because(cause, "Later."))} {
		p := problem.From(err)
		b, marshalErr := json.Marshal(p)
		if marshalErr != nil || !errors.Is(p, cause) || strings.Contains(string(b), "fire") {
			t.Errorf("%v: got %s for the client, want no cause in it", err, b)
		}
	}
	if p := problem.From(cause); p.Status != 500 {
		t.Errorf("got status %d, want 500", p.Status)
	}
	if problem.BrokerUnreachable.New("").RetryAfter != time.Second {
		t.Error("got another RetryAfter, want one second")
	}
}
