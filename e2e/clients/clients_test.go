// Package clients_test checks that client generators understand the OpenAPI description:
// each generates a client from a running store, the client compiles with the strictest
// checks of its language, and a small program uses it.
package clients_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/feed"
	"github.com/clusterlite/clusterlite/e2e/thirdparty"
)

func TestMain(m *testing.M) { cluster.Main(m) }

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
		out := thirdparty.Run(t, dir, filepath.Join(bin, "redocly"), "lint", url+"/openapi.json", "--extends=recommended", "--format=json")
		if !strings.Contains(out, `"errors": 0`) || !strings.Contains(out, `"warnings": 0`) {
			t.Errorf("redocly lint: got %s, want no errors and no warnings", out)
		}
	})
	thirdparty.Run(t, dir, filepath.Join(bin, "openapi-typescript"), url+"/openapi.json", "--output", "generated/openapi.d.ts")
	thirdparty.Run(t, dir, filepath.Join(bin, "openapi-ts"), "--input", url+"/openapi.json", "--output", "heyapi")
	thirdparty.Run(t, dir, filepath.Join(bin, "tsc"), "--project", ".")
	for _, program := range []string{"fetch", "heyapi"} {
		t.Run(program, func(t *testing.T) {
			thirdparty.Run(t, dir, "node", append([]string{"built/" + program + ".js", url}, token...)...)
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
	feed.PublishedClient(t, serve(t))
}

func TestClientOfPython(t *testing.T) { clientOfPython(t, serve(t)) }

func TestClientOfPythonWithAToken(t *testing.T) {
	url, token := serveWithTokens(t)
	clientOfPython(t, url, token)
}

func clientOfPython(t *testing.T, url string, token ...string) {
	t.Helper()
	dir, bin := python(t)
	thirdparty.Run(t, dir, filepath.Join(bin, "openapi-python-client"), "generate", "--url", url+"/openapi.json", "--output-path", "client", "--meta", "none", "--config", "generator.yml", "--fail-on-warning")
	thirdparty.Run(t, dir, filepath.Join(bin, "mypy"), "--strict", "program.py", "client")
	thirdparty.Run(t, dir, filepath.Join(bin, "python"), append([]string{"program.py", url}, token...)...)
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
	thirdparty.Run(t, dir, "go", "run", oapiCodegen, "-generate", "types,client", "-package", "api", "-o", "api/api.go", url+"/openapi.json")
	thirdparty.Run(t, dir, "go", "mod", "init", "clients")
	thirdparty.Run(t, dir, "go", "mod", "edit", "-require", "github.com/oapi-codegen/runtime@v1.9.0")
	thirdparty.Run(t, dir, "go", "mod", "tidy")
	thirdparty.Run(t, dir, "go", "vet", "./...")
	thirdparty.Run(t, dir, "go", "run", ".", url)
}

// Requests generated from the description get only answers that the description contains.
func TestSchemathesis(t *testing.T) {
	url := serve(t)
	dir, bin := python(t)
	thirdparty.Run(t, dir, filepath.Join(bin, "schemathesis"), "--config-file", "schemathesis.toml", "run", url+"/openapi.json")
}

// node returns a folder with the programs, and the folder of the npm tools. The tools are
// installed once for each list of versions, in the user's cache.
func node(t *testing.T) (dir, bin string) {
	t.Helper()
	dir = copied(t, "node")
	return dir, thirdparty.NPM(t, dir)
}

// python returns the folder with the programs, and the folder of the pip tools.
func python(t *testing.T) (dir, bin string) {
	t.Helper()
	dir = copied(t, "python")
	home := thirdparty.Installed(t, "python", filepath.Join(dir, "requirements.txt"), func(home string) {
		thirdparty.Run(t, home, "python3", "-m", "venv", "venv")
		thirdparty.Run(t, home, filepath.Join(home, "venv", "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
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
