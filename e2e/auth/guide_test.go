package auth_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// The collection and the blocks of the guide to access rules work as it says.
func TestGuideToAccessRules(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(cluster.Root(t), "docs", "how-to", "restrict-access.md"))
	if err != nil {
		t.Fatal(err)
	}
	schema := regexp.MustCompile("(?s)<!-- notes.json -->\n```json\n(.*?)```").FindSubmatch(page)
	blocks := regexp.MustCompile("(?s)<!-- access -->\n```sh\n(.*?)```").FindAllSubmatch(page, -1)
	if schema == nil || len(blocks) != strings.Count(string(page), "<!-- access -->") || len(blocks) < 3 {
		t.Fatalf("got %d blocks, want the schema and all marked blocks", len(blocks))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), schema[1], 0o600); err != nil {
		t.Fatal(err)
	}
	provider := cluster.NewIdentityProvider(t, nil)
	s := cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_AUTH_JWKS": provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
		"CLUSTERLITE_COLLECTIONS": dir,
	})
	s.Start()
	s.AwaitReady()
	for _, block := range blocks {
		script := strings.ReplaceAll(string(block[1]), "http://localhost:8080", s.URL)
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
		cmd.Env = append(os.Environ(), "ADA="+provider.Token(t, "ada", nil), "BOB="+provider.Token(t, "bob", nil))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, script, out)
		}
	}
}

// Without authentication, rules have no effect, and the process says so. A mistake in one is found
// nevertheless.
func TestRulesWithoutAuthentication(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "drafts.json"), []byte(ruledCollections["drafts"]), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &rig{Process: cluster.ServeWith(t, map[string]string{"CLUSTERLITE_COLLECTIONS": dir})}
	r.Start()
	r.AwaitReady()
	if status, _, text := r.send(t, "POST", "/drafts", `{"text":"x","owner":"me"}`, ""); status != 201 || !strings.Contains(text, `"owner":"me"`) {
		t.Errorf("got %d %s, want 201 and the owner as it was sent", status, text)
	}
	if status, _, text := r.send(t, "GET", "/drafts?count=true", "", ""); status != 200 || !strings.Contains(text, `"text":"x"`) {
		t.Errorf("got %d %s, want the draft", status, text)
	}
	if r.Stop() != 0 || !strings.Contains(r.Output(), "collections have access rules, but the API requires no authentication") || !strings.Contains(r.Output(), "drafts") {
		t.Errorf("got %s, want a warning that names drafts", r.Output())
	}
	wrong := strings.Replace(ruledCollections["drafts"], "old.owner == auth.sub", "old.owne == auth.sub", 1)
	if err := os.WriteFile(filepath.Join(dir, "drafts.json"), []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, "clusterlite"), "serve", "--data-dir", t.TempDir(), "--collections", dir)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "collection drafts: /x-access/read: line 1, column 4 of the expression: undefined field 'owne'") {
		t.Errorf("got %v, %s; want an error with the place of the mistake", err, out)
	}
}
