package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A prometheus is a running server.
type prometheus struct{ url string }

// The times of rules: how long a condition has to hold, and the ranges of rates and increases.
var (
	holds  = regexp.MustCompile(`(?m)^( +for:) \d+m$`)
	ranges = regexp.MustCompile(`\[\d+m\]`)
)

// startPrometheus starts a Prometheus that scrapes processes each second.
func startPrometheus(t *testing.T, of ...*cluster.Process) prometheus {
	t.Helper()
	rules, err := os.ReadFile(filepath.Join(cluster.Root(t), "deploy", "prometheus", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	short := ranges.ReplaceAllString(holds.ReplaceAllString(string(rules), "$1 1s"), "[30s]")
	if strings.Count(short, "for: 1s") < 10 || strings.Count(short, "[30s]") < 5 {
		t.Fatal("got rules without times, want some that can be shortened")
	}
	targets := make([]string, len(of))
	for i, process := range of {
		targets[i] = fmt.Sprintf("{ targets: [%q] }", strings.TrimPrefix(process.Admin, "http://"))
	}
	return runPrometheus(t, short, targets)
}

// runPrometheus starts a Prometheus with rules that scrapes targets each second.
func runPrometheus(t *testing.T, rules string, targets []string) prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("%v; want Prometheus (Debian: prometheus; see .ci/tools)", err)
	}
	dir, address := t.TempDir(), cluster.Address(t)
	write(t, filepath.Join(dir, "alerts.yml"), rules)
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [alerts.yml]
scrape_configs:
  - job_name: clusterlite
    static_configs: [%s]
`, strings.Join(targets, ", ")))
	output, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = output.Close()
		if t.Failed() {
			said, _ := os.ReadFile(output.Name())
			t.Logf("Prometheus wrote:\n%s", said)
		}
	})
	p := prometheus{"http://" + address}
	eventually(t, "Prometheus is ready", func() bool {
		r, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

func (p prometheus) get(t *testing.T, path string, data any) {
	t.Helper()
	r, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if err := json.NewDecoder(r.Body).Decode(&struct{ Data any }{data}); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %d, %v, want 200 and JSON", path, r.StatusCode, err)
	}
}

// value returns the value of an expression that has one; empty if it has none.
func (p prometheus) value(t *testing.T, expression string) string {
	t.Helper()
	var data struct{ Result []struct{ Value [2]any } }
	p.get(t, "/api/v1/query?query="+url.QueryEscape(expression), &data)
	if len(data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(data.Result[0].Value[1])
}

// firing returns the alerts that fire, as their name and instance.
func (p prometheus) firing(t *testing.T) map[string]bool {
	t.Helper()
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	p.get(t, "/api/v1/alerts", &data)
	firing := map[string]bool{}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]+" "+a.Labels["instance"]] = true
		}
	}
	return firing
}

// fires waits until an alert fires for a process. If the process is nil, the alert must be one for the
// whole store.
func (p prometheus) fires(t *testing.T, alert string, of *cluster.Process) {
	t.Helper()
	want := alert + " "
	if of != nil {
		want += strings.TrimPrefix(of.Admin, "http://")
	}
	eventually(t, want+" fires", func() bool { return p.firing(t)[want] })
}
