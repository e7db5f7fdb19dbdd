package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A Target is a store to test.
type Target struct {
	// URL is the address of the store, without a slash at the end.
	URL string
	// Exclusive reports whether no other client writes to the store during the test.
	Exclusive bool
}

// transport keeps enough connections for tests with many clients.
var transport = &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 1024}

var httpClient = &http.Client{Transport: transport, Timeout: 60 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// A Response is an answer whose whole body has been read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Problem is a problem document.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
	Errors   []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

// Entity is a user as clients see it.
type Entity struct {
	ID        string `json:"id"`
	Version   int64  `json:"version"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
	Name      string `json:"name"`
	Email     string `json:"email"`
}

// Send sends a request. Each header has the form "Name: value". The error is the transport's.
func Send(method, url, body string, headers ...string) (Response, error) {
	r, err := newRequest(method, url, body, headers...)
	if err != nil {
		return Response{}, err
	}
	return send(r)
}

func newRequest(method, url, body string, headers ...string) (*http.Request, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	return r, nil
}

func send(r *http.Request) (Response, error) {
	answer, err := httpClient.Do(r)
	if err != nil {
		return Response{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	return Response{answer.StatusCode, answer.Header, b}, err
}

// Do sends a request and fails the test if there is no answer.
func (target Target) Do(t testing.TB, method, path, body string, headers ...string) Response {
	t.Helper()
	r, err := target.Try(t, method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, clip(path), err)
	}
	return r
}

// Try sends a request. It reports an answer that differs from the OpenAPI description, and returns
// the error of the transport. Any goroutine may call it.
func (target Target) Try(t testing.TB, method, path, body string, headers ...string) (Response, error) {
	t.Helper()
	request, err := newRequest(method, target.URL+path, body, headers...)
	if err != nil {
		return Response{}, err
	}
	r, err := send(request)
	if err != nil {
		return Response{}, err
	}
	target.conforms(t, request, r)
	if r.Status == http.StatusInternalServerError {
		t.Errorf("%s %s: got status 500: %s", method, clip(path), r.Body)
	}
	return r, nil
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// Want fails the test unless the answer has this status.
func (r Response) Want(t testing.TB, status int) Response {
	t.Helper()
	if r.Status != status {
		t.Fatalf("got status %d, want %d: %s", r.Status, status, clip(string(r.Body)))
	}
	return r
}

// Entity decodes the entity in the answer.
func (r Response) Entity(t testing.TB) Entity {
	t.Helper()
	var e Entity
	if err := json.Unmarshal(r.Body, &e); err != nil {
		t.Fatalf("got no entity: %v: %s", err, clip(string(r.Body)))
	}
	return e
}

// List decodes the list of entities in the answer.
func (r Response) List(t testing.TB) []Entity {
	t.Helper()
	var l []Entity
	if err := json.Unmarshal(r.Body, &l); err != nil || !bytes.HasPrefix(r.Body, []byte("[")) {
		t.Fatalf("got no list: %v: %s", err, clip(string(r.Body)))
	}
	return l
}

// Problem fails the test unless the answer is a complete problem of this status and type.
func (r Response) Problem(t testing.TB, status int, kind string) Problem {
	t.Helper()
	r.Want(t, status)
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got content type %q, want application/problem+json", got)
	}
	var p Problem
	if err := json.Unmarshal(r.Body, &p); err != nil {
		t.Fatalf("got no problem document: %v: %s", err, clip(string(r.Body)))
	}
	if !strings.HasSuffix(p.Type, "/"+kind) || p.Title == "" || p.Status != status {
		t.Errorf("got the problem %+v, want a %s", p, kind)
	}
	if p.Instance == "" || p.Instance != r.Header.Get("X-Request-Id") {
		t.Errorf("got instance %q, want the X-Request-Id %q", p.Instance, r.Header.Get("X-Request-Id"))
	}
	if status == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" {
		t.Error("got no Retry-After, want one")
	}
	return p
}

// Position returns the position in the answer.
func (r Response) Position(t testing.TB) int64 {
	t.Helper()
	p, err := strconv.ParseInt(r.Header.Get("Clusterlite-Position"), 10, 64)
	if err != nil {
		t.Fatalf("Clusterlite-Position: got %v, want a number", err)
	}
	return p
}

var (
	run     = time.Now().UnixNano()
	counter atomic.Int64
)

// Email returns an address that no other test has used, in this run or an earlier one.
func Email() string { return fmt.Sprintf("u%d.%d@example.com", run, counter.Add(1)) }

// UserBody returns the body of a valid user.
func UserBody(name, email string) string {
	b, _ := json.Marshal(map[string]string{"name": name, "email": email}) // strings can be marshalled
	return string(b)
}

// Create creates a user with a unique address.
func (target Target) Create(t testing.TB, name string) Entity {
	t.Helper()
	return target.Do(t, "POST", "/users", UserBody(name, Email())).Want(t, 201).Entity(t)
}
