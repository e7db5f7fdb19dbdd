//go:build sqlite_fts5 || fts5

package serve_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
)

// TestFullTextSearch checks the shipped model of full-text search: ranks, highlights, changes.
func TestFullTextSearch(t *testing.T) {
	s := clitest.Serve(t, t.TempDir(), "--models-dir="+shipped(t, "search"))
	awaitModels(t, s, "search")
	created(t, s.URL+"/users", `{"name":"Zoë Lovelace","email":"zoe@lace.example"}`)
	ada := created(t, s.URL+"/users", `{"name":"Ada Lovelace","email":"ada@lovelace.example"}`)
	gone := created(t, s.URL+"/users", `{"name":"Lovelace","email":"gone@example.com"}`)
	clitest.Request(t, "DELETE", s.URL+"/users/"+gone, "")
	clitest.Request(t, "PATCH", s.URL+"/users/"+ada, `{"name":"Augusta Ada Lovelace King"}`)

	get := func(query string) string {
		return strings.TrimSpace(string(clitest.Request(t, "GET", s.URL+"/models/search/users?fields=name,email&q="+query, "")))
	}
	for query, want := range map[string]string{
		"zoe":     `[{"name":"<mark>Zoë</mark> Lovelace","email":"<mark>zoe</mark>@lace.example"}]`,
		"augusta": `[{"name":"<mark>Augusta</mark> Ada Lovelace King","email":"ada@lovelace.example"}]`,
		"gone":    `[]`,
		"lovel*":  `[{"name":"Zoë <mark>Lovelace</mark>","email":"zoe@lace.example"},{"name":"Augusta Ada <mark>Lovelace</mark> King","email":"ada@<mark>lovelace</mark>.example"}]`,
	} {
		if got := get(query); got != want {
			t.Errorf("q=%s: got %s, want %s", query, got, want)
		}
	}
}

// TestSearchOfACollection checks the full-text search that a collection declares, through a process and
// after its restart with another set of properties.
func TestSearchOfACollection(t *testing.T) {
	folder, data := t.TempDir(), t.TempDir()
	declare := func(body string) {
		schema := `{"title":"notes","type":"object","properties":{"title":{"type":"string","x-search":true},"body":{"type":"string"` + body + `}}}`
		if err := os.WriteFile(filepath.Join(folder, "notes.json"), []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	declare("")
	search := func(s clitest.Server, want string) {
		t.Helper()
		if got := string(clitest.Request(t, "GET", s.URL+"/notes?q=milk&fields=title&highlight=true", "")); strings.TrimSpace(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	s := clitest.Serve(t, data, "--collections="+folder)
	awaitModels(t, s, "_search_notes")
	created(t, s.URL+"/notes", `{"title":"Buy milk","body":"today"}`)
	created(t, s.URL+"/notes", `{"title":"Shopping","body":"milk and bread"}`)
	search(s, `[{"title":"Buy milk","_highlights":{"title":"Buy \u003cmark\u003emilk\u003c/mark\u003e"}}]`)
	s.Stop()
	declare(`,"x-search":true`)
	s = clitest.Serve(t, data, "--collections="+folder)
	for end := time.Now().Add(20 * time.Second); !strings.Contains(string(clitest.Request(t, "GET", s.URL+"/notes?q=bread", "")), "Shopping"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("got no index of the other property in time, want one")
		}
	}
	if got := string(clitest.Request(t, "GET", s.URL+"/notes?q=bread&fields=title&highlight=true", "")); !strings.Contains(got, `"_highlights":{"body":"milk and`) {
		t.Errorf("got %s, want a highlight of the body", got)
	}
}
