package events

import (
	"encoding/json"
	"slices"
	"testing"
)

// FuzzPlainStrings holds the fast way to read an array of strings against encoding/json.
func FuzzPlainStrings(f *testing.F) {
	for _, s := range []string{`["a","b"]`, `[""]`, `["a" ]`, `["\u0041"]`, `["a",]`, `["a""b"]`, `[]`, `["]`, `["ä"]`, `["a,b"]`, "[\"\x7f\"]", `[null]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, plain := splitPlainStrings(s)
		var want []string
		if err := json.Unmarshal([]byte(s), &want); plain && (err != nil || !slices.Equal(got, want)) {
			t.Errorf("%q: got %q, want %q, %v", s, got, want, err)
		}
	})
}

// Each header that is written has its place.
func TestHeadersHaveTheirPlaces(t *testing.T) {
	for i, name := range written {
		if got := headerIndex(name); got != i {
			t.Errorf("%s: got place %d, want %d", name, got, i)
		}
	}
	if got := headerIndex("x"); got >= 0 {
		t.Errorf("got place %d for an unknown header, want none", got)
	}
}
