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
		t.Fatal("got a README without a tour")
	}
	const address = "URL=http://localhost:8080\n"
	tour := string(m[1])
	if !strings.HasPrefix(tour, address) {
		t.Fatalf("got a tour that does not start with %s", address)
	}
	c := cluster.Serve(t)
	out, err := exec.Command("bash", "-euo", "pipefail", "-c", "URL="+c.URL+"\n"+strings.TrimPrefix(tour, address)).Output()
	if err != nil {
		t.Fatalf("run the tour: %v\n%s", err, out)
	}
	for _, said := range []string{
		"HTTP/1.1 201 Created", `"name":"John Doe"`, "HTTP/1.1 304 Not Modified", `"name":"Johnny"`, `"version":2`,
		"/problems/version-mismatch", "/problems/unique-taken", `"pointer":"/email"`, "Clusterlite-Consistency: eventual",
	} {
		if !strings.Contains(string(out), said) {
			t.Errorf("got no %s in the output of the tour:\n%s", said, out)
		}
	}
}

// TestTutorial runs the blocks of the tutorial in one shell, with other ports.
func TestTutorial(t *testing.T) {
	api, broker := cluster.Address(t), cluster.Address(t)
	script := marked(t, "../docs/tutorial.md", "tutorial")
	const address = "http://localhost:8080"
	if !strings.Contains(script, address) {
		t.Fatalf("got a tutorial without %s", address)
	}
	env := append(os.Environ(), "CLUSTERLITE_HTTP_ADDR="+api, "CLUSTERLITE_ADMIN_ADDR="+cluster.Address(t),
		"CLUSTERLITE_KAFKA_LISTEN="+broker, "CLUSTERLITE_KAFKA_BROKERS="+broker)
	out := runAll(t, t.TempDir(), env, strings.ReplaceAll(script, address, "http://"+api))
	for said, atLeast := range map[string]int{
		"HTTP/1.1 201 Created": 1, `"done":false`: 1, "/problems/invalid-document": 1, "/problems/unique-taken": 1,
		"/problems/version-mismatch": 1, "Equal: 1 of 1 nodes": 1,
		`"version":2,`: 3, // after the change, after the kill, and after the rebuild
	} {
		if n := strings.Count(out, said); n < atLeast {
			t.Errorf("got %q %d times in the output, want at least %d", said, n, atLeast)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
