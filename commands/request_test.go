package commands

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/service/httpapi/coding"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const pathID = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"

// FuzzRequest decodes arbitrary input: a body and an If-Match.
func FuzzRequest(f *testing.F) {
	for _, body := range []string{`{"name":"A","email":"a@b.c"}`, `{"id":"x"}`, `[]`, `{`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`, `{"id":7,"a":{"b":[1e400]}}`} {
		f.Add([]byte(body), `"1", W/"2"`)
	}
	f.Add([]byte(`{}`), "*")
	f.Add([]byte(`{}`), `"`)
	f.Fuzz(func(t *testing.T, body []byte, match string) {
		d, err := parseBody(body, pathID)
		if err != nil {
			mustBeProblem(t, err, http.StatusBadRequest, http.StatusUnprocessableEntity)
		} else {
			checkParsed(t, d)
		}
		p, err := contract.IfMatch(&http.Request{Header: http.Header{"If-Match": {match}}})
		if err != nil {
			mustBeProblem(t, err, http.StatusBadRequest)
		} else if match != "" && !p.Set {
			t.Errorf("If-Match %q: got no precondition, want one", match)
		}
	})
}

// FuzzWriteHeaders decodes arbitrary values of the header fields that a write takes into account,
// once or twice.
func FuzzWriteHeaders(f *testing.F) {
	for _, key := range []string{"", "a", "a b", "\x7f", "\xff", string(make([]byte, 300))} {
		f.Add(key, "application/json", "gzip", false)
	}
	f.Add("k", "application/merge-patch+json; charset=utf-8", "gzip, zstd", true)
	f.Add("k", `a/b; c="`, ",,", true)
	f.Fuzz(func(t *testing.T, key, media, encoding string, twice bool) {
		header := http.Header{"Idempotency-Key": {key}, "Content-Type": {media}, "Content-Encoding": {encoding}}
		if twice {
			for name, values := range header {
				header[name] = append(values, values...)
			}
		}
		r := &http.Request{Method: http.MethodPost, Header: header}
		stored, err := readIdempotencyKey(r)
		if err != nil {
			mustBeProblem(t, err, http.StatusBadRequest)
		} else if stored == "" || twice || len(key) > 255 {
			t.Errorf("Idempotency-Key %q, twice %t: got %q, want an error", key, twice, stored)
		}
		if _, err := coding.OfBody(r); err != nil {
			mustBeProblem(t, err, http.StatusUnsupportedMediaType, http.StatusBadRequest)
		}
		if _, err := negotiation.ContentType(r, "application/json"); err != nil {
			mustBeProblem(t, err, http.StatusUnsupportedMediaType, http.StatusBadRequest)
		}
	})
}

func mustBeProblem(t *testing.T, err error, statuses ...int) {
	t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) || !slices.Contains(statuses, p.Status) {
		t.Errorf("got %v, want a problem with a status of the list", err)
	}
}

func checkParsed(t *testing.T, d document.Document) {
	t.Helper()
	if err := document.Check(d.Bytes()); err != nil {
		t.Errorf("got %v, want no error for a document that is stored: %s", err, d.Bytes())
	}
	if !json.Valid(d.Bytes()) || bytes.ContainsAny(d.Bytes(), "\n\r") {
		t.Errorf("got %s, want JSON on one line", d.Bytes())
	}
	again, err := parseBody(d.Bytes(), pathID)
	if err != nil || !bytes.Equal(again.Bytes(), d.Bytes()) {
		t.Errorf("%s parsed again: got %s, %v, want the same", d.Bytes(), again.Bytes(), err)
	}
}

func TestPreconditions(t *testing.T) {
	for header, want := range map[string]Precondition{
		`"3"`:            {Set: true, Versions: []int64{3}},
		`"3", "4","5"`:   {Set: true, Versions: []int64{3, 4, 5}},
		`*`:              {Set: true, Any: true},
		`W/"3"`:          {Set: true}, // weak: never equal (RFC 9110, 13.1.1)
		`"03"`:           {Set: true},
		`"+3"`:           {Set: true},
		`"abc"`:          {Set: true},
		`"3", "x", W/""`: {Set: true, Versions: []int64{3}},
	} {
		got, err := contract.IfMatch(&http.Request{Header: http.Header{"If-Match": {header}}})
		if err != nil || got.Set != want.Set || got.Any != want.Any || !slices.Equal(got.Versions, want.Versions) {
			t.Errorf("%s: got %+v, %v, want %+v", header, got, err, want)
		}
	}
	for _, header := range []string{"3", `"3`, `"3" "4"`, ",", "x", `*, "3"`} {
		_, err := contract.IfMatch(&http.Request{Header: http.Header{"If-Match": {header}}})
		mustBeProblem(t, err, http.StatusBadRequest)
	}
	if got, err := contract.IfMatch(&http.Request{Header: http.Header{}}); err != nil || got.Set {
		t.Errorf("got %+v, %v, want no precondition", got, err)
	}
}

// The log keeps hashes forever, so they must not change.
func TestHashRequest(t *testing.T) {
	const want = "tKQTneIwtlRl9FdcrCKSTw"
	if got := HashRequest("POST", "/users", []byte(`{"name":"Ada"}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	seen := map[string]bool{want: true}
	for _, r := range [][3]string{{"PUT", "/users", `{"name":"Ada"}`}, {"POST", "/user", `s{"name":"Ada"}`}, {"POST", "/users", ""}, {"POST", "/users", `{"name":"Ada"} `}} {
		h := HashRequest(r[0], r[1], []byte(r[2]))
		if seen[h] {
			t.Errorf("%v: got the hash of another request, want a different one", r)
		}
		seen[h] = true
	}
}

func TestBodies(t *testing.T) {
	for body, status := range map[string]int{
		``: 400, `{`: 400, `{} {}`: 400, `nul`: 400, `{"a":1,"a":2}`: 400, "{\"a\":\"\xff\"}": 400,
		`[]`: 422, `null`: 422, `"x"`: 422, `{"id":"other"}`: 422, `{"id":null}`: 422,
	} {
		_, err := parseBody([]byte(body), pathID)
		mustBeProblem(t, err, status)
	}
	d, err := parseBody([]byte(`{ "id":"`+pathID+`", "version":9, "created_at":0, "updated_at":[], "a" : 1.0 }`), pathID)
	if err != nil || string(d.Bytes()) != `{"a":1.0}` {
		t.Errorf("got %s, %v, want the number as it was written", d.Bytes(), err)
	}
}
