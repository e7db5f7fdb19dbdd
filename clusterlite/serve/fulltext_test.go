//go:build sqlite_fts5 || fts5

package serve_test

import (
	"strings"
	"testing"

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
