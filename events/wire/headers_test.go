package wire

import (
	"encoding/json"
	"slices"
	"testing"
)

// FuzzPlainStrings compares the fast parser of string arrays with encoding/json.
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

func TestHeaderIndexes(t *testing.T) {
	for i, name := range headerOrder {
		if got := headerIndex(name); got != i {
			t.Errorf("%s: got index %d, want %d", name, got, i)
		}
	}
	if got := headerIndex("x"); got >= 0 {
		t.Errorf("got index %d for an unknown header, want a negative one", got)
	}
}
