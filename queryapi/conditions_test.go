package queryapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// changed appends an event of an entity as a command service would.
func (n node) changed(id string, version int64, at time.Time, document string) {
	n.t.Helper()
	kind := events.Updated
	if version == 1 {
		kind = events.Created
	}
	_, err := n.log.Append(servicetest.Context(n.t), events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: version, Time: at, Document: []byte(document),
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// If-Modified-Since is answered 304 only if the date can't be that of an older version.
func TestIfModifiedSince(t *testing.T) {
	n := newNode(t)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	e := servicetest.Echo(web.Options{})
	a := &queryapi.API{Log: n.log, Model: n.model.Projection, Collections: servicetest.Collections(t), Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute, Now: func() time.Time { return now }}
	contract.Mount(e, a.Routes())
	id := uuid.Must(uuid.NewV7()).String()
	get := func(headers ...string) *http.Response { return servicetest.Do(e, "GET", "/users/"+id, "", headers...) }
	since := func(at time.Time) string { return "If-Modified-Since: " + at.Format(http.TimeFormat) }
	want := func(status int, headers ...string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD"} {
			r := servicetest.Do(e, method, "/users/"+id, "", headers...)
			if r.StatusCode != status || r.Header.Get("ETag") == "" {
				t.Errorf("%s %v at %s: got %d %v, want %d with a tag", method, headers, now.Format(time.StampMilli), r.StatusCode, r.Header, status)
			}
		}
	}
	created := now.Add(100 * time.Millisecond)
	n.changed(id, 1, created, `{"name":"A","email":"a@example.com"}`)
	now = created
	first := get().Header.Get("Last-Modified")
	if first != "Tue, 24 Nov 2026 12:00:00 GMT" {
		t.Fatalf("got Last-Modified %q, want Tue, 24 Nov 2026 12:00:00 GMT", first)
	}
	want(304, "If-Modified-Since: "+first)
	want(200, since(created.Add(-time.Second)))
	want(200, "If-Modified-Since: yesterday")
	want(200, "If-Modified-Since: "+first, `If-None-Match: "7"`)
	want(304, since(created.Add(-time.Hour)), `If-None-Match: "1"`)
	want(304, since(created.Add(time.Hour)))

	// A second change within the same second: the date applies to two versions, and proves neither.
	n.changed(id, 2, created.Add(500*time.Millisecond), `{"name":"B","email":"a@example.com"}`)
	want(200, "If-Modified-Since: "+first)
	if h := get().Header; h.Get("Last-Modified") != "" {
		t.Errorf("got %v, want no Last-Modified while another version may get the same date", h)
	}
	now = now.Add(time.Hour)
	want(200, "If-Modified-Since: "+first)

	// A later change: its date is sent once the next change must have another date.
	changed := now
	n.changed(id, 3, changed, `{"name":"C","email":"a@example.com"}`)
	now = changed.Truncate(time.Second).Add(1900 * time.Millisecond)
	if h := get().Header; h.Get("Last-Modified") != "" {
		t.Errorf("got %v, want no Last-Modified while another version may get the same date", h)
	}
	now = changed.Truncate(time.Second).Add(2 * time.Second)
	second := get().Header.Get("Last-Modified")
	want(304, "If-Modified-Since: "+second)
	want(200, "If-Modified-Since: "+first)

	want(412, "If-Unmodified-Since: "+first)
	want(200, "If-Unmodified-Since: "+second)
	want(412, `If-Match: "2"`)
	want(412, `If-Match: W/"3"`)
	want(200, `If-Match: "3-gzip"`, "If-Unmodified-Since: "+first)
}

// A large entity is compressed and has a separate tag. Every form of the tag stands for the
// version.
func TestCompressedEntity(t *testing.T) {
	n := newNode(t)
	id := uuid.Must(uuid.NewV7()).String()
	n.changed(id, 1, time.Now(), fmt.Sprintf(`{"name":"A","email":"a@example.com","x":%q}`, strings.Repeat("x", 2000)))
	path, gzip := "/users/"+id, "Accept-Encoding: gzip"
	r := n.get(path, 200, gzip)
	if r.Header.Get("ETag") != `"1-gzip"` || r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("got %v, want the tag, the encoding and the Vary of gzip", r.Header)
	}
	if h := n.get(path, 200).Header; h.Get("ETag") != `"1"` || h.Get("Vary") != "Accept-Encoding" {
		t.Errorf("got %v, want the tag without compression, and Vary", h)
	}
	for header, tag := range map[string]string{`"1-gzip"`: `"1-gzip"`, `"1"`: `"1"`, `"1-zstd"`: `"1-zstd"`, `W/"1-gzip"`: `"1-gzip"`, `"7", "1"`: `"1"`} {
		if h := n.get(path, 304, gzip, "If-None-Match: "+header).Header; h.Get("ETag") != tag || h.Get("Vary") != "Accept-Encoding" || h.Get("Cache-Control") == "" || h.Get("Content-Encoding") != "" {
			t.Errorf("%s: got %v, want the tag, Vary and Cache-Control without an encoding", header, h)
		}
	}
	n.get(path, 200, gzip, `If-None-Match: "2-gzip"`)
	if h := n.get("/openapi.json", 200, gzip).Header; h.Get("Content-Encoding") != "gzip" {
		t.Errorf("the description: got %v, want gzip", h)
	}
	if h := n.get("/users", 200, gzip).Header; h.Get("Content-Encoding") != "gzip" || h.Get("Vary") != "Accept, Accept-Encoding" && len(h.Values("Vary")) != 2 {
		t.Errorf("a list: got %v, want gzip and Vary by Accept and Accept-Encoding", h)
	}
	if h := n.get("/users", 200, gzip, "Accept: application/x-ndjson").Header; h.Get("Content-Encoding") != "gzip" {
		t.Errorf("a stream: got %v, want gzip", h)
	}
	if h := servicetest.Do(n, "OPTIONS", path, "").Header; h.Get("Accept-Patch") != "application/merge-patch+json, application/json" {
		t.Errorf("Accept-Patch: got %v, want both media types", h)
	}
}
