package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/problem"
)

func FuzzTags(f *testing.F) {
	for _, s := range []string{`"1"`, `W/"1", "2"`, "*", ",", `"`, `"a" "b"`, `W/`, "\"\x00\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		tags, anyTag, err := Tags(&http.Request{Header: http.Header{"If-Match": {header}}}, "If-Match")
		switch {
		case err != nil && problem.From(err).Status != 400:
			t.Errorf("%q: %v", header, err)
		case err == nil && anyTag == (len(tags) > 0) && strings.TrimSpace(header) != "":
			t.Errorf("%q: %v, any %v", header, tags, anyTag)
		}
		for _, tag := range tags {
			if strings.Contains(tag.Opaque, `"`) {
				t.Errorf("%q: %+v", header, tag)
			}
		}
	})
}

func TestRefuseUnknownParameters(t *testing.T) {
	for query, want := range map[string]string{
		"": "", "limit=1": "", "limit=1&after=x": "", "limt=1": `Do you mean "limit"`, "zzzzzzzz=1": "no query parameter", "limit=1&limit=2": "more than once",
		"a=%zz": "can't be read", "a;b": "can't be read", strings.Repeat("x", 500) + "=1": "…",
	} {
		err := RefuseUnknownParameters(&http.Request{URL: &url.URL{RawQuery: query}}, "limit", "after")
		if (err == nil) != (want == "") || err != nil && (problem.From(err).Status != 400 || !strings.Contains(problem.From(err).Detail, want)) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// A guess that is not near misleads.
func TestOnlyWhatIsNearIsSuggested(t *testing.T) {
	for name, want := range map[string]string{"order": "", "offset": "", "x": "", "af": "", "aftr": ` Do you mean "after"?`, "LIMIT": ` Do you mean "limit"?`} {
		if got := Nearest(name, []string{"limit", "after", "sort", "fields", "count"}); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	request := func(name string, values ...string) *http.Request {
		return &http.Request{Header: http.Header{name: values}}
	}
	for value, ok := range map[string]bool{"0": true, "120": true, "-1": false, "x": false, "": false, "9999999999999999999": false} {
		if _, err := MinPosition(request(HeaderMinPosition, value)); (err == nil) != ok {
			t.Errorf("position %q: %v", value, err)
		}
	}
	if _, err := MinPosition(request(HeaderMinPosition, "1", "2")); err == nil {
		t.Error("two positions")
	}
	if c, err := AskedConsistency(request("X"), Strong); c != Unasked || err != nil {
		t.Errorf("got %q, %v", c, err)
	}
	if c, err := AskedConsistency(request(HeaderConsistency, "eventual"), Strong, Eventual); c != Eventual || err != nil {
		t.Errorf("got %q, %v", c, err)
	}
	if c, err := AskedConsistency(request(HeaderConsistency, "linearizable"), Strong, Linearizable); c != Linearizable || err != nil {
		t.Errorf("got %q, %v", c, err)
	}
	for _, values := range [][]string{{"Strong"}, {""}, {"strong", "strong"}, {"linearizable"}} {
		if _, err := AskedConsistency(request(HeaderConsistency, values...), Strong, Eventual); err == nil {
			t.Errorf("%v is taken", values)
		}
	}
}

func TestNoneMatch(t *testing.T) {
	for header, hit := range map[string]bool{`"3"`: true, `W/"3"`: true, `"1", "3"`: true, "*": true, `"4"`: false, "": false} {
		r := &http.Request{Header: http.Header{}}
		if header != "" {
			r.Header.Set("If-None-Match", header)
		}
		if got, err := NoneMatch(r, ETag(3)); got != hit || err != nil {
			t.Errorf("%s: %v, %v", header, got, err)
		}
	}
}
