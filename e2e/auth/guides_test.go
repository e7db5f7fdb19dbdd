package auth_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// importable writes a file of users for the blocks that import one, and returns its folder.
func importable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "users.ndjson"), []byte(`{"name":"Ada","email":"imported@example.com"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func guided(t *testing.T, settings map[string]string) *rig {
	t.Helper()
	r := &rig{Process: cluster.ServeWith(t, settings)}
	r.Start()
	r.AwaitReady()
	return r
}

// Without settings a process is open, and says so when it starts.
func TestAnOpenProcessSaysSo(t *testing.T) {
	r := guided(t, nil)
	if status, _, text := r.send(t, http.MethodPost, "/users", `{"name":"Ada","email":"ada@example.com"}`, ""); status != http.StatusCreated {
		t.Errorf("got %d %s, want 201", status, text)
	}
	if said := r.Output(); !strings.Contains(said, "the API requires no authentication: any client that reaches it can read and write everything") {
		t.Errorf("got %s, want a line that says that the API is open", said)
	}
}

func TestGuideToTokens(t *testing.T) {
	provider := cluster.NewIdentityProvider(t, nil)
	settings := map[string]string{"CLUSTERLITE_HTTP_ADDR": cluster.Address(t)}
	g := cluster.ReadGuide(t, "require-a-token.md",
		"https://login.example.com/.well-known/jwks.json", provider.Keys,
		"https://store.example.com", "http://"+settings["CLUSTERLITE_HTTP_ADDR"])
	g.Settings(t, settings, "CLUSTERLITE_AUTH_JWKS")
	r := guided(t, settings)
	token, dir := provider.Token(t, "ada", nil), importable(t)
	if status, _, _ := r.send(t, http.MethodGet, "/users", "", ""); status != http.StatusUnauthorized {
		t.Errorf("got %d without a token, want 401", status)
	}
	if out := g.Run(t, dir, "$TOKEN", "TOKEN="+token); !strings.Contains(out, `[]`) {
		t.Errorf("got %s, want an empty list", out)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.Run(t, dir, "clusterlite import")
	if _, _, text := r.send(t, http.MethodGet, "/users", "", "Bearer "+token); !strings.Contains(text, "imported@example.com") {
		t.Errorf("got %s, want the imported user", text)
	}

	// Each line of the last block is for another provider. The process reads roles where it says.
	collections := t.TempDir()
	rule := `{"title":"drafts","type":"object","properties":{"text":{"type":"string"}},"x-access":{"read":"'writer' in auth.roles","create":"'writer' in auth.roles"}}`
	if err := os.WriteFile(filepath.Join(collections, "drafts.json"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(g.Block(t, "ROLES_CLAIM")), "\n") {
		assignment, _, _ := strings.Cut(strings.TrimPrefix(line, "export "), " ")
		name, claim, _ := strings.Cut(assignment, "=")
		claims := map[string]any{claim: []string{"writer"}}
		if outer, inner, nested := strings.Cut(claim, "."); nested && !strings.Contains(claim, ":") {
			claims = map[string]any{outer: map[string]any{inner: []string{"writer"}}}
		}
		r := guided(t, map[string]string{
			"CLUSTERLITE_AUTH_JWKS": provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
			"CLUSTERLITE_COLLECTIONS": collections, name: claim,
		})
		for want, token := range map[int]string{http.StatusCreated: provider.Token(t, "ada", claims), http.StatusForbidden: provider.Token(t, "bob", nil)} {
			if status, _, text := r.send(t, http.MethodPost, "/drafts", `{"text":"x"}`, "Bearer "+token); status != want {
				t.Errorf("%s: got %d %s, want %d", line, status, text, want)
			}
		}
	}
	g.Complete(t)
}

func TestGuideToKeys(t *testing.T) {
	settings := map[string]string{"CLUSTERLITE_HTTP_ADDR": cluster.Address(t), "CLUSTERLITE_KAFKA_LISTEN": cluster.Address(t)}
	g := cluster.ReadGuide(t, "issue-api-keys.md",
		"127.0.0.1:19092", settings["CLUSTERLITE_KAFKA_LISTEN"],
		"https://store.example.com", "http://"+settings["CLUSTERLITE_HTTP_ADDR"])
	g.Settings(t, settings, "CLUSTERLITE_AUTH_KEYS")
	r := guided(t, settings)
	dir, broker := importable(t), "CLUSTERLITE_KAFKA_BROKERS="+settings["CLUSTERLITE_KAFKA_LISTEN"]
	g.Run(t, dir, "keys create")
	g.Run(t, dir, "clusterlite import")
	key, err := os.ReadFile(filepath.Join(dir, "export.key"))
	if err != nil {
		t.Fatal(err)
	}
	authorization := "Bearer " + strings.TrimSpace(string(key))
	if status, _, text := r.send(t, http.MethodGet, "/users", "", authorization); status != http.StatusOK || !strings.Contains(text, "imported@example.com") {
		t.Errorf("got %d %s, want the imported user", status, text)
	}
	if out := g.Run(t, dir, "keys list", broker); !strings.Contains(out, "nightly export") {
		t.Errorf("got %s, want the key", out)
	}
	g.Run(t, dir, "keys revoke", broker)
	if status, _, text := r.send(t, http.MethodGet, "/users", "", authorization); status != http.StatusUnauthorized {
		t.Errorf("got %d %s after the revocation, want 401", status, text)
	}
	g.Complete(t)
}

func TestGuideToRateLimits(t *testing.T) {
	settings := map[string]string{}
	g := cluster.ReadGuide(t, "limit-request-rates.md")
	g.Settings(t, settings, "RATE_LIMIT_ANONYMOUS")
	r := guided(t, settings)
	rejected := false
	for range 2000 { // ten a second are allowed, and a machine may be slow
		if status, _, _ := r.send(t, http.MethodGet, "/users", "", ""); status == http.StatusTooManyRequests {
			rejected = true
			break
		}
	}
	if !rejected {
		t.Error("got no 429, want the limit of anonymous clients")
	}
	g.Complete(t)
}
