package e2e_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// TestREADME runs the tour of the README as a newcomer would paste it.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- tour -->\n```sh\n(.*?)```").FindSubmatch(readme)
	if m == nil {
		t.Fatal("the README has no tour")
	}
	const address = "URL=http://localhost:8080\n"
	tour := string(m[1])
	if !strings.HasPrefix(tour, address) {
		t.Fatalf("the tour does not start with %s", address)
	}
	c := cluster.Serve(t)
	out, err := exec.Command("bash", "-euo", "pipefail", "-c", "URL="+c.URL+"\n"+strings.TrimPrefix(tour, address)).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, said := range []string{
		"HTTP/1.1 201 Created", `"name":"John Doe"`, "HTTP/1.1 304 Not Modified", `"name":"Johnny"`, `"version":2`,
		"/problems/version-mismatch", "/problems/unique-taken", `"pointer":"/email"`, "Clusterlite-Consistency: eventual",
	} {
		if !strings.Contains(string(out), said) {
			t.Errorf("the tour does not show %s:\n%s", said, out)
		}
	}
}
