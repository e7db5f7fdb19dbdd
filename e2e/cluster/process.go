// Package cluster starts and kills ClusterLite as users run it: as processes, with a real
// Nginx and a real Kafka.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readyWithin is the maximum time that a process may take to become ready. It is generous, so
// that a busy machine causes no failure.
const readyWithin = 90 * time.Second

// A Process is one of the programs, running or not.
type Process struct {
	Name string
	// URL is the address of the API and Admin that of the admin listener. Each is empty if the
	// process has none.
	URL, Admin string

	t      testing.TB
	binary string
	args   []string
	env    []string
	output string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

func newProcess(t testing.TB, name, binary string, env map[string]string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, t: t, binary: binary, args: args, output: filepath.Join(t.TempDir(), name+".log")}
	p.env = environment()
	for name, value := range env {
		p.env = append(p.env, name+"="+value)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the end of what %s wrote:\n%s", name, p.tail())
		}
	})
	return p
}

// environment returns the environment of the test without the project's settings.
func environment() (kept []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CLUSTERLITE_") {
			kept = append(kept, e)
		}
	}
	return kept
}

func (p *Process) tail() string {
	b, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-6000):])
}

// Output returns all output of the process so far, from all its runs.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.output)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.t.Error(err)
	}
	return string(b)
}

// Start starts the process. Its output is appended to that of its earlier runs.
func (p *Process) Start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the process has its own handle
	p.cmd = exec.Command(p.binary, p.args...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, out, out
	// The process must not outlive this test, however the test ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.Name, err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // ExitCode shows how it ended
		close(done)
	}(p.cmd, p.done)
}

// Signal sends a signal to the process, if it runs.
func (p *Process) Signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may just have ended
	}
}

// Kill kills the process (SIGKILL) and waits until it has ended.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	p.wait(time.Minute)
}

// Stop asks the process to stop (SIGTERM) and returns its exit code.
func (p *Process) Stop() int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	if !p.wait(30 * time.Second) {
		p.t.Fatalf("%s did not stop within 30 seconds of SIGTERM", p.Name)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *Process) wait(atMost time.Duration) bool {
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	if done == nil {
		return true
	}
	select {
	case <-done:
		return true
	case <-time.After(atMost):
		return false
	}
}

// Exited reports whether the process has ended.
func (p *Process) Exited() bool { return p.wait(0) }

// AwaitExit waits until the process ends by itself, and returns its exit code.
func (p *Process) AwaitExit() int {
	p.t.Helper()
	if !p.wait(readyWithin) {
		p.t.Fatalf("%s is still running, want it to end", p.Name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// AwaitReady waits until the process reports that it is ready.
func (p *Process) AwaitReady() {
	p.t.Helper()
	var said string
	for end := time.Now().Add(readyWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if p.Exited() {
			p.t.Fatalf("%s ended, want it to become ready", p.Name)
		}
		if said = p.NotReady(); said == "" {
			return
		}
	}
	p.t.Fatalf("%s is not ready after %s: %s", p.Name, readyWithin, said)
}

// NotReady returns the reason why the process is not ready, or an empty string if it is.
func (p *Process) NotReady() string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin+"/readyz", nil)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return ""
	}
	b, _ := io.ReadAll(response.Body)
	return string(b)
}

// Status holds the fields of /status that tests use.
type Status struct {
	Position int64             `json:"position"`
	End      int64             `json:"end"`
	Voids    int64             `json:"voids"`
	Digests  map[string]string `json:"digests"`
	Entities map[string]int64  `json:"entities"`
}

// Status asks the process for its status.
func (p *Process) Status() Status {
	p.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.Admin+"/status", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if credential := p.Credential(); credential != "" {
		r.Header.Set("Authorization", credential)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var s Status
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

var (
	portMu   sync.Mutex
	portUsed = map[int]bool{}
)

// freePort returns a free port that it has not returned before.
func freePort(t testing.TB) int {
	t.Helper()
	portMu.Lock()
	defer portMu.Unlock()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if !portUsed[port] {
			portUsed[port] = true
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// Address returns a free address on this host that it has not returned before.
func Address(t testing.TB) string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }

// DataDir returns the process's data folder.
func (p *Process) DataDir() string { return p.Setting("CLUSTERLITE_DATA_DIR") }

// Node returns the process's name as a node.
func (p *Process) Node() string { return p.Setting("CLUSTERLITE_NODE_ID") }

// Credential returns the Authorization header field for the process's admin listener, or an
// empty string if its settings hold no token of operators.
func (p *Process) Credential() string {
	if token := p.Setting("CLUSTERLITE_ADMIN_TOKEN"); token != "" {
		return "Bearer " + token
	}
	return ""
}

// Setting returns the value of a variable. The last one counts, as it does for the process.
func (p *Process) Setting(variable string) (value string) {
	for _, e := range p.env {
		if v, ok := strings.CutPrefix(e, variable+"="); ok {
			value = v
		}
	}
	return value
}
