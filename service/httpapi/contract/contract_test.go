package contract

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

func FuzzTags(f *testing.F) {
	for _, s := range []string{`"1"`, `W/"1", "2"`, "*", ",", `"`, `"a" "b"`, `W/`, "\"\x00\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		tags, anyTag, err := Tags(&http.Request{Header: http.Header{"If-Match": {header}}}, "If-Match")
		switch {
		case err != nil && problem.From(err).Status != 400:
			t.Errorf("%q: got %v, want status 400", header, err)
		case err == nil && anyTag == (len(tags) > 0) && strings.TrimSpace(header) != "":
			t.Errorf("%q: got %v, any %v, want either tags or any", header, tags, anyTag)
		}
		for _, tag := range tags {
			if strings.Contains(tag.Opaque, `"`) {
				t.Errorf("%q: got %+v, want no quote in the tag", header, tag)
			}
		}
	})
}

func TestRejectUnknownParameters(t *testing.T) {
	for query, want := range map[string]string{
		"": "", "limit=1": "", "limit=1&after=x": "", "limt=1": `Did you mean "limit"`, "zzzzzzzz=1": "Unknown query parameter", "limit=1&limit=2": "more than once",
		"a=%zz": "query string is malformed", "a;b": "query string is malformed", strings.Repeat("x", 500) + "=1": "…",
	} {
		err := RejectUnknownParameters(&http.Request{URL: &url.URL{RawQuery: query}}, "limit", "after")
		if (err == nil) != (want == "") || err != nil && (problem.From(err).Status != 400 || !strings.Contains(problem.From(err).Detail, want)) {
			t.Errorf("%s: got %v, want %q", query, err, want)
		}
	}
}

// Only a known name that is similar is suggested, because any other guess misleads.
func TestOnlySimilarNamesAreSuggested(t *testing.T) {
	for name, want := range map[string]string{"order": "", "offset": "", "x": "", "af": "", "aftr": ` Did you mean "after"?`, "LIMIT": ` Did you mean "limit"?`} {
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
			t.Errorf("position %q: got %v, want an error for what is not a position", value, err)
		}
	}
	if _, err := MinPosition(request(HeaderMinPosition, "1", "2")); err == nil {
		t.Error("got no error for two positions, want one")
	}
	if c, err := RequestedConsistency(request("X"), events.Strong); c != events.Unspecified || err != nil {
		t.Errorf("got %q, %v, want no consistency", c, err)
	}
	if c, err := RequestedConsistency(request(HeaderConsistency, "eventual"), events.Strong, events.Eventual); c != events.Eventual || err != nil {
		t.Errorf("got %q, %v, want eventual", c, err)
	}
	if c, err := RequestedConsistency(request(HeaderConsistency, "linearizable"), events.Strong, events.Linearizable); c != events.Linearizable || err != nil {
		t.Errorf("got %q, %v, want linearizable", c, err)
	}
	for _, values := range [][]string{{"Strong"}, {""}, {"strong", "strong"}, {"linearizable"}} {
		if _, err := RequestedConsistency(request(HeaderConsistency, values...), events.Strong, events.Eventual); err == nil {
			t.Errorf("%v: got no error, want one", values)
		}
	}
}

// The error says what is wrong with a list of tags.
func TestBadTags(t *testing.T) {
	for header, want := range map[string]string{
		"3": "is not in quotes", `"3`: "closing quote", `"3" "4"`: "not followed by a comma", "": "empty", ",": "empty", "x": "is not in quotes", `*, "3"`: "*", `"3", *`: "*", "*, *": "*",
		`w/"3"`: "upper case", `"3 "`: "space", `W/3`: "is not in quotes", `W/ "3"`: "is not in quotes", "\"3\t\"": "space",
	} {
		_, _, err := Tags(&http.Request{Header: http.Header{"If-Match": {header}}}, "If-Match")
		if err == nil || problem.From(err).Status != 400 || !strings.Contains(problem.From(err).Detail, want) {
			t.Errorf("%s: got %v, want %q", header, err, want)
		}
	}
	for _, headers := range [][]string{{`"3"`, `"4"`}, {` "3" ,, "4" `}, {`"3",`, `W/"4"`}} {
		if tags, _, err := Tags(&http.Request{Header: http.Header{"If-Match": headers}}, "If-Match"); err != nil || len(tags) != 2 {
			t.Errorf("%v: got %v, %v, want two tags", headers, tags, err)
		}
	}
	if _, _, err := Tags(&http.Request{Header: http.Header{"If-Match": {"*", `"3"`}}}, "If-Match"); err == nil {
		t.Error("got no error for * beside another tag, want one")
	}
}

// A weak tag never matches, and a client that got one from a proxy learns why.
func TestIfMatch(t *testing.T) {
	for header, want := range map[string]struct {
		holds  bool
		detail string
	}{
		`"3"`: {true, ""}, `"3-gzip"`: {true, ""}, `"3-zstd"`: {true, ""}, `"1", "3"`: {true, ""}, `*`: {true, ""}, `W/"3", "3"`: {true, ""},
		`"4"`: {false, "does not match If-Match"}, `"3-br"`: {false, "does not match If-Match"}, `"03"`: {false, "does not match If-Match"}, `"+3"`: {false, "does not match If-Match"}, `"3-gzip-gzip"`: {false, "does not match If-Match"},
		`W/"3"`: {false, `Send If-Match: "3"`}, `W/"3-gzip"`: {false, `the weak tag W/"3"`}, `"4", W/"3"`: {false, "proxy"}, `W/"2"`: {false, `only weak tags (W/"2")`},
	} {
		p, err := IfMatch(&http.Request{Header: http.Header{"If-Match": {header}}})
		if err != nil || p.Holds(3) != want.holds {
			t.Errorf("%s: got %+v, %v, want %+v", header, p, err, want)
		}
		if answer := p.Mismatch(3); answer.Status != 412 || answer.Header.Get("ETag") != `"3"` || !want.holds && !strings.Contains(answer.Detail, want.detail) {
			t.Errorf("%s: got %+v, want 412 with the tag of version 3 and %q", header, answer, want.detail)
		}
	}
	if p, err := IfMatch(&http.Request{Header: http.Header{}}); err != nil || !p.Holds(3) || p.Set {
		t.Errorf("got %+v, %v, want no precondition", p, err)
	}
}

// A client that has the response in another coding has the current version.
func TestMatchingTag(t *testing.T) {
	for _, c := range [][3]string{
		{`"3"`, `"3"`, `"3"`}, {`W/"3"`, `"3"`, `"3"`}, {`"3-gzip"`, `"3"`, `"3-gzip"`}, {`"2", "3-zstd"`, `"3"`, `"3-zstd"`}, {`W/"3-gzip"`, `"3"`, `"3-gzip"`},
		{`*`, `"3"`, `"3"`}, {`"3-br"`, `"3"`, ""}, {`"4"`, `"3"`, ""}, {`"p3"`, `W/"p3"`, `W/"p3"`}, {`W/"p3-gzip"`, `W/"p3"`, ""},
	} {
		if got, err := MatchingTag(&http.Request{Header: http.Header{"If-None-Match": {c[0]}}}, c[1]); got != c[2] || err != nil {
			t.Errorf("If-None-Match: %s for %s: got %s, %v, want %s", c[0], c[1], got, err, c[2])
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
			t.Errorf("%s: got %v, %v, want %v", header, got, err, hit)
		}
	}
}
