package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// named matches a test and its package in the threat model.
var named = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`( in `([a-z0-9/]+)`)?")

// Every test that the threat model names exists in the package that it names, and every threat
// has one.
func TestThreatsHaveTheirTests(t *testing.T) {
	root := cluster.Root(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "explanation", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n## Threats\n")
	threats, _, found := strings.Cut(rest, "\n## ")
	if !found {
		t.Fatal("got a page without threats, or without a section after them")
	}
	count := 0
	for line := range strings.Lines(threats) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| | threat |") || strings.HasPrefix(line, "| ---") {
			continue
		}
		count++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("got a threat without a test: %s", line)
		}
		for _, test := range tests {
			if test[2] == "" {
				t.Errorf("got %s without its package, want one", test[1])
				continue
			}
			if !declared(t, filepath.Join(root, test[3]), test[1]) {
				t.Errorf("got %s in %s, want a test that exists", test[1], test[3])
			}
		}
	}
	if count < 30 {
		t.Errorf("got %d threats, want at least 30", count)
	}
}

// declared reports whether a folder has a file of tests with this function.
func declared(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
