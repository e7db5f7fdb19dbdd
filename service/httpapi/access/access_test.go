package access_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
)

// load returns a set with the collection notes.
func load(t testing.TB, members string) *collections.Set {
	t.Helper()
	dir := t.TempDir()
	schema := `{"title":"notes","type":"object",` + members + `}`
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
