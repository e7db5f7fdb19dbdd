package collections

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// One entry in the table is enough for a new keyword: its value is read and checked. A keyword is
// an error if it is in the wrong place, on a property without a column, or misspelt.
func TestAKeywordIsOneEntryOfTheTable(t *testing.T) {
	kept := extensions
	t.Cleanup(func() { extensions = kept })
	var read []string
	extensions = append(slices.Clone(kept), extension{"x-audited", func(p *Property, value any) string {
		if value != true {
			return " must be true"
		}
		read = append(read, p.Name)
		return ""
	}, []string{"audit"}})
	load := func(property string) error {
		dir := t.TempDir()
		schema := `{"title":"things","type":"object","properties":{"code":` + property + `}}`
		if err := os.WriteFile(filepath.Join(dir, "things.json"), []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir)
		return err
	}
	if err := load(`{"type":"string","x-audited":true}`); err != nil || !slices.Equal(read, []string{"code"}) {
		t.Errorf("got %v and keywords read of %q, want no error and code", err, read)
	}
	for property, want := range map[string]string{
		`{"type":"string","x-audited":1}`:                                         "x-audited must be true",
		`{"type":"array","x-audited":true}`:                                       "x-unique, x-index, x-default, x-search and x-audited are only for scalar properties",
		`{"type":"object","properties":{"a":{"type":"string","x-audited":true}}}`: "only for top-level properties",
		`{"type":"string","x-audted":true}`:                                       `"x-audited"`,
		`{"type":"string","x-Audit":true}`:                                        "unknown keyword",
	} {
		if err := load(property); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", property, err, want)
		}
	}
}
