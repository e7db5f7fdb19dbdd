// Package auth_test tests that an API that requires tokens rejects every request without a valid
// token of its identity provider.
package auth_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// A rig is a store that needs tokens, with one entity, and the provider of the tokens.
type rig struct {
	*cluster.Process
	broker   string
	provider *cluster.IdentityProvider
	token    string
	entity   string // the path of the entity
	tag      string // its entity tag
}

// secret is a text in the entity. No response to a request without a valid token may contain it.
const secret = "Lovelace-7d1c"

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{provider: cluster.NewIdentityProvider(t, nil), broker: cluster.Address(t)}
	r.Process = cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_AUTH_JWKS": r.provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
		"CLUSTERLITE_AUTH_KEYS": "true", "CLUSTERLITE_KAFKA_LISTEN": r.broker,
		"CLUSTERLITE_COLLECTIONS": filepath.Join(cluster.Root(t), "examples"),
	})
	r.Start()
	r.AwaitReady()
	r.token = r.provider.Token(t, "ada", nil)
	status, header, _ := r.send(t, http.MethodPost, "/users", `{"name":"`+secret+`","email":"ada@example.com"}`, "Bearer "+r.token, "Idempotency-Key", "first")
	if status != http.StatusCreated {
		t.Fatalf("POST with a token: got %d, want 201", status)
	}
	r.entity, r.tag = header.Get("Location"), header.Get("ETag")
	return r
}

func (r *rig) send(t *testing.T, method, path, body, authorization string, fields ...string) (int, http.Header, string) {
	t.Helper()
	headers := []string{"Content-Type: application/json", "Authorization: " + authorization} // none if it is empty
	for i := 0; i < len(fields); i += 2 {
		headers = append(headers, fields[i]+": "+fields[i+1])
	}
	response, err := suite.Send(method, r.URL+path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status, response.Header, string(response.Body)
}

// A description is what the test needs of /openapi.json.
type description struct {
	Paths      map[string]map[string]operation
	Security   []map[string][]string
	Components struct {
		SecuritySchemes map[string]struct{ Type, Scheme, BearerFormat string }
	}
}

type operation struct {
	OperationID string
	Responses   map[string]any
	Security    *[]map[string][]string
}

func (r *rig) describe(t *testing.T) (d description) {
	t.Helper()
	status, _, text := r.send(t, http.MethodGet, "/openapi.json", "", "")
	if status != http.StatusOK {
		t.Fatalf("GET /openapi.json: got %d, want 200 without a token", status)
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every operation of the description, and each way to read, is closed to everybody without a
// valid token. The response says neither what exists nor what it holds.
func TestEveryOperationNeedsAToken(t *testing.T) {
	r := newRig(t)
	d := r.describe(t)
	if scheme := d.Components.SecuritySchemes["bearer"]; len(d.Security) != 1 || scheme.Type != "http" || scheme.Scheme != "bearer" {
		t.Errorf("got security %v and scheme %+v, want a bearer token", d.Security, scheme)
	}
	stranger := cluster.NewIdentityProvider(t, nil)
	intruders := map[string]string{
		"anonymous":       "",
		"wrong token":     "Bearer " + stranger.Token(t, "ada", nil),
		"expired token":   "Bearer " + r.provider.Token(t, "ada", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"other audience":  "Bearer " + r.provider.Token(t, "ada", map[string]any{"aud": "other"}),
		"other issuer":    "Bearer " + r.provider.Token(t, "ada", map[string]any{"iss": "https://evil.example.com"}),
		"basic":           "Basic YWRhOnNlY3JldA==",
		"unsigned":        "Bearer eyJhbGciOiJub25lIn0." + strings.Split(r.token, ".")[1] + ".",
		"without a space": "Bearer" + r.token,
		"unknown key":     "Bearer clk_069jr1s0kxxjq71z38nkrkaydw_60rk4csm6mv3ee1sc5h66s35crr32chk6gtkcdsr75gp4rv4cnk0dj1nek0",
		"no key":          "Bearer clk_069jr1s0kxxjq71z38nkrkaydw",
	}
	operations := 0
	for path, methods := range d.Paths {
		open := path == "/" || path == "/openapi.json"
		for method, op := range methods {
			if method == "parameters" {
				continue
			}
			operations++
			if _, documented := op.Responses["401"]; documented == open || open != (op.Security != nil && len(*op.Security) == 0) {
				t.Errorf("%s: got 401 documented %t, security %v; want them to say whether it is open: %t", op.OperationID, documented, op.Security, open)
			}
			if open {
				continue
			}
			for _, id := range []string{strings.TrimPrefix(r.entity, "/users/"), "01999999-0000-7000-8000-000000000000"} {
				for name, authorization := range intruders {
					r.checkClosed(t, strings.ToUpper(method), strings.ReplaceAll(path, "{id}", id), name, authorization)
				}
			}
		}
	}
	if operations < 15 {
		t.Errorf("got %d operations, want at least 15", operations)
	}
	for _, path := range []string{
		"/users?count=true", "/users?email=ada@example.com", "/users?name[prefix]=L&limit=1", "/users?nonsense=1", "/nothing", "/users/", "//users", "/users%2F", "/docs%2F..%2Fusers", "/docs/..%2Fusers",
		"/%75sers", r.entity + "?fields=name",
	} {
		for name, authorization := range intruders {
			r.checkClosed(t, http.MethodGet, path, name, authorization)
		}
	}
	// The entity is as it was.
	if status, header, text := r.send(t, http.MethodGet, r.entity, "", "Bearer "+r.token); status != http.StatusOK || header.Get("ETag") != r.tag || !strings.Contains(text, secret) {
		t.Errorf("GET with a token: got %d, %s, want 200 and the entity unchanged", status, text)
	}
}

func (r *rig) checkClosed(t *testing.T, method, path, name, authorization string) {
	t.Helper()
	const body = `{"name":"Eve","email":"ada@example.com"}`
	for _, fields := range [][]string{
		nil,
		{"Accept", "application/x-ndjson"},
		{"If-None-Match", r.tag},
		{"If-Match", r.tag},
		{"Idempotency-Key", "first"},
		{"Content-Type", "application/x-ndjson"},
	} {
		status, header, text := r.send(t, method, path, body, authorization, fields...)
		if status != http.StatusUnauthorized || header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s %s %v: got %d, want 401 with WWW-Authenticate", name, method, path, fields, status)
		}
		for _, field := range []string{"ETag", "Total-Count", "Link", "Location", "Clusterlite-Position", "Last-Modified"} {
			if header.Get(field) != "" {
				t.Errorf("%s: %s %s %v: got the header field %s", name, method, path, fields, field)
			}
		}
		if strings.Contains(text, secret) || strings.Contains(text, "ada@example.com") {
			t.Errorf("%s: %s %s %v: the response shows the entity: %s", name, method, path, fields, text)
		}
	}
}

// Idempotency keys of different callers are different.
func TestCallersDoNotShareIdempotencyKeys(t *testing.T) {
	r := newRig(t)
	body := `{"name":"Grace","email":"grace@example.com"}`
	status, header, _ := r.send(t, http.MethodPost, "/users", body, "Bearer "+r.token, "Idempotency-Key", "shared")
	if status != http.StatusCreated {
		t.Fatalf("the first: got %d, want 201", status)
	}
	again, repeated, _ := r.send(t, http.MethodPost, "/users", body, "Bearer "+r.provider.Token(t, "ada", map[string]any{"jti": "renewed"}), "Idempotency-Key", "shared")
	if again != http.StatusCreated || repeated.Get("Location") != header.Get("Location") {
		t.Errorf("the same caller: got %d and %s, want 201 and %s", again, repeated.Get("Location"), header.Get("Location"))
	}
	other, _, text := r.send(t, http.MethodPost, "/users", body, "Bearer "+r.provider.Token(t, "bob", nil), "Idempotency-Key", "shared")
	if other != http.StatusConflict {
		t.Errorf("another caller: got %d %s, want 409, because the address is taken", other, text)
	}
}

// The page, its files and preflights of browsers need no token.
func TestOpenResources(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/", "/openapi.json", "/docs"} {
		if status, _, _ := r.send(t, http.MethodGet, path, "", ""); status != http.StatusOK {
			t.Errorf("GET %s: got %d, want 200", path, status)
		}
	}
	status, header, _ := r.send(t, http.MethodOptions, "/users", "", "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	if status/100 != 2 || !strings.Contains(strings.ToLower(header.Get("Access-Control-Allow-Headers")), "authorization") {
		t.Errorf("preflight: got %d, %v; want a success that allows Authorization", status, header)
	}
	if status, header, _ := r.send(t, http.MethodGet, "/users", "", "", "Origin", "https://app.example.com"); status != http.StatusUnauthorized || header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("GET from another origin: got %d, %v; want a 401 that scripts can read", status, header)
	}
}

// The tool imports with a token, which it reads again for each request.
func TestImportWithAToken(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	lines := filepath.Join(dir, "users.ndjson")
	var content bytes.Buffer
	for i := range 3 {
		fmt.Fprintf(&content, `{"name":"N","email":"n%d@example.com"}`+"\n", i)
	}
	for path, text := range map[string]string{lines: content.String(), filepath.Join(dir, "token"): r.token + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		variable string
		succeeds bool
	}{
		"no token":    {"NOTHING=", false},
		"wrong token": {"CLUSTERLITE_TOKEN=abc", false},
		"token file":  {"CLUSTERLITE_TOKEN_FILE=" + filepath.Join(dir, "token"), true},
	} {
		cmd := exec.CommandContext(t.Context(), cluster.Binary(t, "clusterlite"), "import", lines, "--collection", "users", "--url", r.URL, "--key", name, "--checkpoint", filepath.Join(dir, name))
		cmd.Env = []string{"HOME=" + dir, c.variable}
		out, err := cmd.CombinedOutput()
		if (err == nil) != c.succeeds || !c.succeeds && !strings.Contains(string(out), "401") {
			t.Errorf("%s: got %v, %s; want success %t", name, err, out, c.succeeds)
		}
	}
}

// Log lines hold no token.
func TestTheLogHoldsNoToken(t *testing.T) {
	r := newRig(t)
	r.send(t, http.MethodGet, r.entity, "", "Bearer "+r.token)
	if r.Stop() != 0 {
		t.Error("the process did not stop cleanly")
	}
	out := r.Output()
	if strings.Contains(out, r.token) || slices.ContainsFunc(strings.Split(r.token, "."), func(part string) bool { return strings.Contains(out, part) }) {
		t.Error("the log has a token")
	}
}
