//go:build !sqlite_fts5 && !fts5

package serve_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
)

// A program without FTS5 serves collections that can be searched, except for the search.
func TestSearchWithoutFTS5(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "notes.json"), []byte(`{"title":"notes","type":"object","properties":{"title":{"type":"string","x-search":true}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := clitest.Serve(t, t.TempDir(), "--collections="+folder)
	created(t, s.URL+"/notes", `{"title":"Buy milk"}`)
	r, err := http.Get(s.URL + "/notes?q=milk")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusNotImplemented || !strings.Contains(string(body), "search-unavailable") {
		t.Errorf("got %d, %s, %v, want 501 search-unavailable", r.StatusCode, body, err)
	}
}
