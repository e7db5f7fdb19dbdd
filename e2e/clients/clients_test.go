// Package clients_test checks that client generators understand the OpenAPI description:
// each generates a client from a running store, the client compiles with the strictest
// checks of its language, and a small program uses it.
package clients_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// deadline bounds one command, such as the installation of the tools.
const deadline = 10 * time.Minute

const oapiCodegen = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"

func serve(t *testing.T) string {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "clients") {
		t.Skip("CLUSTERLITE_E2E does not name clients")
	}
	return cluster.Serve(t).URL
}

// serveWithTokens returns the address of a store that requires tokens, and a token.
func serveWithTokens(t *testing.T) (url, token string) {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "clients") {
		t.Skip("CLUSTERLITE_E2E does not name clients")
	}
	provider := cluster.NewIdentityProvider(t, nil)
	p := cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_AUTH_JWKS": provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
		"CLUSTERLITE_COLLECTIONS": filepath.Join(cluster.Root(t), "examples"),
	})
	p.Start()
	p.AwaitReady()
	return p.URL, provider.Token(t, "ada", nil)
}

func TestClientsOfTypeScript(t *testing.T) { clientsOfTypeScript(t, serve(t)) }

func TestClientsOfTypeScriptWithAToken(t *testing.T) {
	url, token := serveWithTokens(t)
	clientsOfTypeScript(t, url, token)
}

// clientsOfTypeScript generates clients, and runs programs with them. They send the token, if
// there is one.
func clientsOfTypeScript(t *testing.T, url string, token ...string) {
	t.Helper()
	dir, bin := node(t)
	t.Run("Redocly reports no problems", func(t *testing.T) {
		out := run(t, dir, filepath.Join(bin, "redocly"), "lint", url+"/openapi.json", "--extends=recommended", "--format=json")
		if !strings.Contains(out, `"errors": 0`) || !strings.Contains(out, `"warnings": 0`) {
			t.Errorf("redocly lint: got %s, want no errors and no warnings", out)
		}
	})
	run(t, dir, filepath.Join(bin, "openapi-typescript"), url+"/openapi.json", "--output", "generated/openapi.d.ts")
	run(t, dir, filepath.Join(bin, "openapi-ts"), "--input", url+"/openapi.json", "--output", "heyapi")
	run(t, dir, filepath.Join(bin, "tsc"), "--project", ".")
	for _, program := range []string{"fetch", "heyapi"} {
		t.Run(program, func(t *testing.T) {
			run(t, dir, "node", append([]string{"built/" + program + ".js", url}, token...)...)
			if len(token) > 0 {
				rejected(t, dir, "node", "built/"+program+".js", url)
			}
		})
	}
}

// rejected runs a command, which must fail because it has no token.
func rejected(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "401") {
		t.Errorf("%s %s without a token: got %v, want an error with status 401\n%s", name, strings.Join(args, " "), err, out)
	}
}

// The published client of the Durable Streams protocol follows the change feed.
func TestClientOfDurableStreams(t *testing.T) {
	url := serve(t)
	dir, _ := node(t)
	run(t, dir, "node", "changes.mjs", url)
}

func TestClientOfPython(t *testing.T) { clientOfPython(t, serve(t)) }

func TestClientOfPythonWithAToken(t *testing.T) {
	url, token := serveWithTokens(t)
	clientOfPython(t, url, token)
}

func clientOfPython(t *testing.T, url string, token ...string) {
	t.Helper()
	dir, bin := python(t)
	run(t, dir, filepath.Join(bin, "openapi-python-client"), "generate", "--url", url+"/openapi.json", "--output-path", "client", "--meta", "none", "--config", "generator.yml", "--fail-on-warning")
	run(t, dir, filepath.Join(bin, "mypy"), "--strict", "program.py", "client")
	run(t, dir, filepath.Join(bin, "python"), append([]string{"program.py", url}, token...)...)
	if len(token) > 0 {
		rejected(t, dir, filepath.Join(bin, "python"), "program.py", url)
	}
}

func TestClientOfGo(t *testing.T) {
	url := serve(t)
	dir := copied(t, "go")
	if err := os.Mkdir(filepath.Join(dir, "api"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "go", "run", oapiCodegen, "-generate", "types,client", "-package", "api", "-o", "api/api.go", url+"/openapi.json")
	run(t, dir, "go", "mod", "init", "clients")
	run(t, dir, "go", "mod", "edit", "-require", "github.com/oapi-codegen/runtime@v1.9.0")
	run(t, dir, "go", "mod", "tidy")
	run(t, dir, "go", "vet", "./...")
	run(t, dir, "go", "run", ".", url)
}

// Requests generated from the description get only answers that the description contains.
func TestSchemathesis(t *testing.T) {
	url := serve(t)
	dir, bin := python(t)
	run(t, dir, filepath.Join(bin, "schemathesis"), "--config-file", "schemathesis.toml", "run", url+"/openapi.json")
}

// node returns a folder with the programs, and the folder of the npm tools. The tools are
// installed once for each list of versions, in the user's cache.
func node(t *testing.T) (dir, bin string) {
	t.Helper()
	dir = copied(t, "node")
	home := installed(t, "node", filepath.Join(dir, "package.json"), func(home string) {
		run(t, home, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
	})
	if err := os.Symlink(filepath.Join(home, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(home, "node_modules", ".bin")
}

// python returns the folder with the programs, and the folder of the pip tools.
func python(t *testing.T) (dir, bin string) {
	t.Helper()
	dir = copied(t, "python")
	home := installed(t, "python", filepath.Join(dir, "requirements.txt"), func(home string) {
		run(t, home, "python3", "-m", "venv", "venv")
		run(t, home, filepath.Join(home, "venv", "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
	})
	return dir, filepath.Join(home, "venv", "bin")
}

// copied returns a temporary folder with the files of a folder in testdata.
func copied(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// installed returns the folder of the cache that belongs to a list of versions. Missing
// tools are installed directly in that folder, because Python environments can't be moved.
// A marker file says that the folder is complete.
func installed(t *testing.T, name, list string, install func(home string)) string {
	t.Helper()
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(text)
	home := filepath.Join(cache, "clusterlite-e2e", name+"-"+hex.EncodeToString(sum[:6]))
	complete := filepath.Join(home, "complete")
	if _, err := os.Stat(complete); err == nil {
		return home
	}
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{filepath.Join(home, filepath.Base(list)): text} {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install(home)
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return home
}

// run runs a command and returns its output. The test fails if the command fails or is
// missing.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "PYTHONDONTWRITEBYTECODE=1", "NO_COLOR=1", "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	// The processes that the command starts must not outlive the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}
