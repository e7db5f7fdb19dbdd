package collections_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
)

func loadNotes(t *testing.T, schema string) (*collections.Collection, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		return nil, err
	}
	c, _ := set.Get("notes")
	return c, nil
}

func TestAccess(t *testing.T) {
	c, err := loadNotes(t, `{"title":"notes","type":"object","x-access":{"read":"true","create":"auth != null"},
		"properties":{"owner":{"type":"string","x-default":"auth.sub"},"text":{"type":"string"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, has := c.Access(); !has || got != (collections.Access{Read: "true", Create: "auth != null"}) {
		t.Errorf("got %+v, %t; want the two rules", got, has)
	}
	if got := c.Properties(); got[0].Default != "auth.sub" || got[1].Default != "" {
		t.Errorf("got defaults %q and %q, want only that of owner", got[0].Default, got[1].Default)
	}
	if c, err = loadNotes(t, `{"title":"notes","type":"object"}`); err != nil {
		t.Fatal(err)
	}
	if got, has := c.Access(); has {
		t.Errorf("got %+v, want no rules", got)
	}
}

// A mistake that would leave a collection open is an error when the file is loaded.
func TestMistakesInAccess(t *testing.T) {
	for text, want := range map[string]string{
		`"x-access":"true"`:                                               "at /x-access: must be an object",
		`"x-access":{"reed":"true"}`:                                      `at /x-access/reed: unknown member "reed": the members are read, create, update and delete. Did you mean "read"?`,
		`"x-access":{"read":true}`:                                        "at /x-access/read: must be an expression",
		`"x-access":{"read":" "}`:                                         "at /x-access/read: must be an expression",
		`"x-acces":{"read":"true"}`:                                       `Did you mean "x-access"?`,
		`"x-Access":{"read":"true"}`:                                      `unknown keyword "x-Access"`,
		`"x-access-rules":{"read":"true"}`:                                `unknown keyword "x-access-rules"`,
		`"properties":{"a":{"type":"string","x-access":{"read":"true"}}}`: "x-access belongs at the top",
		`"properties":{"a":{"type":"string","x-default":true}}`:           "x-default must be an expression",
		`"properties":{"a":{"type":"array","x-default":"auth.roles"}}`:    "only for scalar properties",
	} {
		if _, err := loadNotes(t, `{"title":"notes","type":"object",`+text+`}`); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
