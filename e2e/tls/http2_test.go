package tls_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// Every kind of request works over HTTP/2 through the shipped TLS server of Nginx, and directly. The
// client is curl, which is not written in Go.
func TestHTTP2ThroughNginx(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "embedded") {
		t.Skip("CLUSTERLITE_E2E does not name embedded, the deployment that needs Nginx")
	}
	r := newRig(t, nil)
	nginx := cluster.EncryptedNginx(t, r.authority.Issue(t, "nginx", time.Now().Add(time.Hour)), r.authority, []string{r.URL}, []string{r.URL})
	lines := filepath.Join(t.TempDir(), "lines.ndjson")
	if err := os.WriteFile(lines, []byte(`{"name":"a"}`+"\n"+`{"name":"b"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	curl := func(args ...string) (text, answer string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "curl", append([]string{"--silent", "--show-error", "--http2", "--max-time", "30", "--cacert", r.authority.File,
			"--write-out", "\n%{http_version} %{http_code} %{redirect_url}%header{location}"}, args...)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("curl %v: %v\n%s%s", args, err, out.String(), errs.String())
		}
		i := strings.LastIndexByte(out.String(), '\n')
		return out.String()[:i], out.String()[i+1:]
	}
	for name, url := range map[string]string{"Nginx": nginx.URL, "the service": r.URL} {
		const json = "Content-Type: application/json"
		email := strings.ReplaceAll(strings.ToLower(name), " ", "-") + "@example.com"
		_, answer := curl(url+"/users", "-H", json, "-d", `{"name":"Ada","email":"`+email+`"}`)
		path, created := strings.CutPrefix(answer, "2 201 ")
		if at := strings.Index(path, "/users/"); created && at >= 0 {
			path = path[at:]
		} else {
			t.Fatalf("%s: POST: got %s, want HTTP/2, 201 and a location", name, answer)
		}
		for _, c := range []struct {
			want, text string
			args       []string
		}{
			{"2 200", `"name":"Ada"`, []string{url + path}},
			{"2 200", "", []string{"--head", url + path}},
			{"2 304", "", []string{"-H", `If-None-Match: "1"`, url + path}},
			{"2 200", `"name":"Grace"`, []string{"-X", "PATCH", "-H", "Content-Type: application/merge-patch+json", "-d", `{"name":"Grace"}`, url + path}},
			{"2 412", "version-mismatch", []string{"-X", "PUT", "-H", json, "-H", `If-Match: "1"`, "-d", `{"name":"Eve","email":"` + email + `"}`, url + path}},
			{"2 200", `"name":"Grace"`, []string{"-H", "Accept: application/x-ndjson", url + "/users"}},
			{"2 200", `"name":"Grace"`, []string{"--compressed", url + "/users?limit=10"}},
			{"2 200", `.created`, []string{url + "/users/changes"}},
			{"2 200", "", []string{"-H", "Content-Type: application/x-ndjson", "--data-binary", "@" + lines, url + "/users"}},
			{"2 204", "", []string{"-X", "DELETE", url + path}},
			{"2 404", "not-found", []string{url + path}},
			{"2 400", "malformed-request", []string{url + "/users?limit=none"}},
		} {
			text, answer := curl(c.args...)
			if !strings.HasPrefix(answer, c.want) || !strings.Contains(text, c.text) {
				t.Errorf("%s: curl %v: got %s %s, want %s and %s", name, c.args, answer, text, c.want, c.text)
			}
		}
	}
}
