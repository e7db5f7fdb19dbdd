package tls_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// exposed returns an all-in-one process whose admin listener is on all addresses of the host.
func exposed(t *testing.T, settings map[string]string) *cluster.Process {
	t.Helper()
	_, port, err := net.SplitHostPort(cluster.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"CLUSTERLITE_ADMIN_ADDR": ":" + port, "CLUSTERLITE_ADMIN_ADVERTISE": "127.0.0.1:" + port, "CLUSTERLITE_KAFKA_LISTEN": cluster.Address(t)}
	for name, value := range settings {
		all[name] = value
	}
	p := cluster.ServeWith(t, all)
	p.Admin = "http://127.0.0.1:" + port
	p.Start()
	p.AwaitReady()
	return p
}

// status sends a request to the admin listener and returns the status of the response.
func status(t *testing.T, p *cluster.Process, method, path, authorization string) int {
	t.Helper()
	response, err := suite.Send(method, p.Admin+path, "", "Authorization: "+authorization) // none if it is empty
	if err != nil {
		t.Fatal(err)
	}
	return response.Status
}

// Without a credential, an admin listener that other hosts can reach serves only what probes
// and Prometheus need. The process says so when it starts.
func TestExposedAdminListenerWithoutACredential(t *testing.T) {
	p := exposed(t, map[string]string{"CLUSTERLITE_PPROF": "true"})
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if got := status(t, p, "GET", path, ""); got != http.StatusOK {
			t.Errorf("GET %s: got %d, want 200", path, got)
		}
	}
	for _, c := range [][2]string{
		{"GET", "/status"}, {"GET", "/snapshot"}, {"GET", "/rows"}, {"GET", "/digests"}, {"GET", "/voids"}, {"GET", "/verify"},
		{"GET", "/rebuild"}, {"POST", "/rebuild"}, {"DELETE", "/rebuild"}, {"GET", "/debug/pprof/"}, {"GET", "/nothing"}, {"GET", "//status"},
	} {
		if got := status(t, p, c[0], c[1], "Bearer "); got != http.StatusForbidden {
			t.Errorf("%s %s: got %d, want 403", c[0], c[1], got)
		}
	}
	if out := p.Output(); !strings.Contains(out, "no credential of operators is set") || !strings.Contains(out, "CLUSTERLITE_ADMIN_TOKEN_FILE") {
		t.Errorf("got the output %s\nwant a warning that names the setting", out)
	}
	out, err := operate(t, p, nil, "voids")
	if err == nil || !strings.Contains(out, "CLUSTERLITE_ADMIN_TOKEN_FILE") {
		t.Errorf("clusterlite voids: got %v, want an error that names the setting\n%s", err, out)
	}
}

// With a token for all of them, nodes and the tool work together over listeners that other
// hosts can reach.
func TestExposedAdminListenerWithAToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admin-token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	credential := map[string]string{"CLUSTERLITE_ADMIN_TOKEN_FILE": file}
	p := exposed(t, credential)
	if strings.Contains(p.Output(), "no credential of operators is set") {
		t.Errorf("got a warning about a credential, want none:\n%s", p.Output())
	}
	if got := status(t, p, "GET", "/status", ""); got != http.StatusUnauthorized {
		t.Errorf("GET /status without the token: got %d, want 401", got)
	}
	if got := status(t, p, "GET", "/status", "Bearer "+token); got != http.StatusOK {
		t.Errorf("GET /status with the token: got %d, want 200", got)
	}
	query := cluster.Service(t, "query", "query-1", map[string]string{
		"CLUSTERLITE_KAFKA_BROKERS": p.Setting("CLUSTERLITE_KAFKA_LISTEN"), "CLUSTERLITE_BOOTSTRAP": p.Admin, "CLUSTERLITE_ADMIN_TOKEN_FILE": file,
	})
	query.Start()
	query.AwaitReady()
	if out := query.Output(); !strings.Contains(out, "restored a snapshot") {
		t.Errorf("got %s, want a restored snapshot", out)
	}
	store := filepath.Join(t.TempDir(), "store")
	for _, args := range [][]string{{"status"}, {"nodes"}, {"verify", "--deep"}, {"voids"}, {"snapshot", "create", store}, {"rebuild", "--all"}, {"status", "--admin", p.Admin}} {
		if out, err := operate(t, p, credential, args...); err != nil {
			t.Errorf("clusterlite %s: got %v, want success\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// operate runs the operator's tool and returns its output.
func operate(t *testing.T, p *cluster.Process, settings map[string]string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, "clusterlite"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "CLUSTERLITE_KAFKA_BROKERS=" + p.Setting("CLUSTERLITE_KAFKA_LISTEN")}
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
