package auth_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// effective is the maximum time for a revocation to take effect on all nodes.
const effective = 5 * time.Second

// tool runs the operator's tool on the broker of the process, and returns its standard output.
func (r *rig) tool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, "clusterlite"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "CLUSTERLITE_KAFKA_BROKERS=" + r.broker}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("clusterlite %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// await polls until a request with a key gets a status, for at most as long as a revocation may
// take.
func (r *rig) await(t *testing.T, url, key string, want int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		response, err := suite.Send(http.MethodGet, url+r.entity, "", "Authorization: Bearer "+key)
		if err != nil {
			t.Fatal(err)
		}
		if response.Status == want {
			return
		}
		if time.Since(began) > effective {
			t.Fatalf("%s: got %d after %s, want %d", url, response.Status, effective, want)
		}
	}
}

// Each node accepts a new key, and rejects it soon after its revocation, also after a restart. The
// log records which client made each change, and the API does not reveal it.
func TestKeysAndActorsOnTwoNodes(t *testing.T) {
	r := newRig(t)
	query := cluster.QueryOf(t, r.broker, map[string]string{"CLUSTERLITE_AUTH_KEYS": "true"})
	query.Start()
	query.AwaitReady()
	key := r.tool(t, "keys", "create", "ci", "--role", "editor", "--expires-in", "1h")
	for _, url := range []string{r.URL, query.URL} {
		r.await(t, url, key, http.StatusOK)
	}
	status, header, body := r.send(t, http.MethodPut, r.entity, `{"name":"`+secret+` II","email":"ada@example.com"}`, "Bearer "+key)
	if status != http.StatusOK {
		t.Fatalf("PUT with a key: got %d %s, want 200", status, body)
	}
	for name, text := range map[string]string{"header": strings.Join(headerLines(header), "\n"), "body": body} {
		if strings.Contains(text, key[:30]) {
			t.Errorf("got the id of the key in the %s of a response", name)
		}
	}

	// The query service was started with keys only, so it accepts no token.
	r.await(t, query.URL, r.token, http.StatusUnauthorized)

	path := filepath.Join(t.TempDir(), "key")
	lines := filepath.Join(t.TempDir(), "users.ndjson")
	for file, text := range map[string]string{path: key + "\n", lines: `{"name":"N","email":"imported@example.com"}` + "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.tool(t, "import", lines, "--collection", "users", "--url", r.URL, "--token-file", path, "--checkpoint", filepath.Join(t.TempDir(), "c"))

	var actors []string
	for line := range strings.Lines(r.tool(t, "events", "tail", "--from=0", "--no-follow", "--collection=users", "--output=json")) {
		var e struct{ Actor string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		actors = append(actors, e.Actor)
	}
	if want := "ada " + key[:30] + " " + key[:30]; strings.Join(actors, " ") != want {
		t.Errorf("got the actors %q, want %q", actors, want)
	}

	r.tool(t, "keys", "revoke", key[:30])
	for _, url := range []string{r.URL, query.URL} {
		r.await(t, url, key, http.StatusUnauthorized)
	}
	if query.Stop() != 0 {
		t.Error("the query service did not stop cleanly")
	}
	query.Start()
	query.AwaitReady()
	r.await(t, query.URL, key, http.StatusUnauthorized)
	for _, p := range []*cluster.Process{r.Process, query} {
		if strings.Contains(p.Output(), key) {
			t.Error("the log of a process has the key")
		}
	}
	if status, _, text := r.send(t, http.MethodGet, "/clusterlite_keys", "", "Bearer "+r.token); status != http.StatusNotFound {
		t.Errorf("GET of the stored keys: got %d %s, want 404", status, text)
	}
}

func headerLines(h http.Header) (lines []string) {
	for name, values := range h {
		lines = append(lines, name+": "+strings.Join(values, ", "))
	}
	return lines
}
