package negotiation_test

import (
	"net/http"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

func TestAccepts(t *testing.T) {
	for header, want := range map[string]string{
		"": "a/b", "*/*": "a/b", "a/b": "a/b", "c/d": "c/d", "a/*": "a/b", "c/d, a/b": "a/b", "c/d, a/b;q=0.5": "c/d",
		"a/b;q=0, */*": "c/d", "A/B": "a/b", "text/html, */*;q=0.1": "a/b", "a/*;q=0, c/d;q=0.1": "c/d",
		// If the header names no offered type or is malformed, the first type is chosen.
		"x/y": "a/b", ",": "a/b", "a": "a/b", `x/y;a="b,c";q=0`: "a/b", "x/y, z/*;q=0": "a/b", "c/d;q=0": "a/b", "a/b;q=2": "a/b", "c/d;q=x": "c/d", "a/b;q=-1": "a/b",
		"a/b;v=2;q=0": "a/b", "a/b;charset=utf-8": "a/b", "a/b;q=0;q=1": "a/b",
		// If the header excludes the first type, another type is chosen only if the header accepts it.
		"a/b;q=0": "", "*/*;q=0": "", "a/*;q=0": "", "x/y, */*;q=0": "", "a/b; Q=0.000": "", "a/b;charset=utf-8;q=0": "", "a/b;q=0, c/d;q=0": "", "a/b;q=0, x/y": "",
	} {
		r := &http.Request{Header: http.Header{}}
		if header != "" {
			r.Header.Set("Accept", header)
		}
		got, err := negotiation.Accepts(r, "a/b", "c/d")
		if got != want || (err == nil) != (want != "") || err != nil && problem.From(err).Status != 406 {
			t.Errorf("%q: got %q, %v; want %q", header, got, err, want)
		}
	}
}

func TestContentType(t *testing.T) {
	for header, want := range map[string]string{
		"application/json": "application/json", "Application/JSON; charset=UTF-8": "application/json", "application/merge-patch+json": "application/merge-patch+json",
		"": "", "text/plain": "", "application/json; charset=latin1": "", "application/json;": "application/json", "x": "",
	} {
		r := &http.Request{Header: http.Header{"Content-Type": {header}}}
		got, err := negotiation.ContentType(r, "application/json", "application/merge-patch+json")
		if got != want || (err == nil) != (want != "") || err != nil && problem.From(err).Status != 415 {
			t.Errorf("%q: got %q, %v, want %q", header, got, err, want)
		}
	}
}
