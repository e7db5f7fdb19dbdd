package compose_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool runs the operator's tool in the project's network, for at most two minutes, and
// returns its output and exit status.
func (p *project) tool(args ...string) (stdout, stderr string, status int) {
	p.t.Helper()
	return p.toolWith(nil, args...)
}

// toolWith is like tool, with more flags for the container.
func (p *project) toolWith(flags []string, args ...string) (stdout, stderr string, status int) {
	p.t.Helper()
	run := append([]string{"120", "docker", "compose", "-p", p.name, "run", "--rm", "-T"}, append(flags, "tool")...)
	cmd := p.command("timeout", append(run, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("tool %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// well runs the tool, which must succeed, and returns its output.
func (p *project) well(args ...string) string {
	p.t.Helper()
	out, errs, status := p.tool(args...)
	if status != 0 {
		p.t.Errorf("tool %v: got exit status %d, want 0\n%s%s", args, status, out, errs)
	}
	return out
}

// toolInspects checks that the tool finds all nodes, verifies that they are equal, and stores
// and lists a snapshot.
func toolInspects(p *project, nodes int) {
	p.t.Helper()
	if n := len(p.states()); n != nodes {
		p.t.Errorf("got %d nodes, want %d", n, nodes)
	}
	if out := p.well("nodes"); strings.Count(out, version) != nodes {
		p.t.Errorf("got\n%s\nwant %d nodes with the version %s", out, nodes, version)
	}
	p.well("verify", "--deep")
	p.well("snapshot", "create", "/snapshots")
	if out := p.well("snapshot", "list", "/snapshots"); !strings.Contains(out, ".snapshot") {
		p.t.Errorf("got the store's list %s, want a snapshot in it", out)
	}
	key := p.well("keys", "create", "compose", "--role", "reader")
	if out := p.well("keys", "list"); !strings.HasPrefix(key, "clk_") || !strings.Contains(out, "compose") {
		p.t.Errorf("got the key %.30s and the list %s, want both", key, out)
	} else {
		p.well("keys", "revoke", key[:30])
	}
	p.well("rebuild", "--node", "query-1")
	p.well("verify")
}

// createsSnapshots starts the service of the profile, waits until it has stored a snapshot, and
// removes it.
func createsSnapshots(p *project) {
	p.t.Helper()
	p.compose("--profile", "snapshots", "up", "-d", "--no-recreate", "--no-deps", "snapshots")
	logs := ""
	for end := time.Now().Add(2 * time.Minute); !strings.Contains(logs, "stored and verified a snapshot"); time.Sleep(200 * time.Millisecond) { // polling
		if logs = p.compose("--profile", "snapshots", "logs", "--no-color", "snapshots"); time.Now().After(end) {
			p.t.Errorf("got no snapshot within two minutes:\n%s", logs)
			break
		}
	}
	p.compose("--profile", "snapshots", "rm", "-sf", "snapshots")
}

// needsToken checks that the nodes reject a tool without their token, which is random.
func needsToken(p *project) {
	p.t.Helper()
	out, errs, status := p.toolWith([]string{"-e", "CLUSTERLITE_ADMIN_TOKEN_FILE="}, "voids")
	if status == 0 || !strings.Contains(out+errs, "CLUSTERLITE_ADMIN_TOKEN") {
		p.t.Errorf("without the token: got exit status %d and\n%s%s\nwant an error that names the setting", status, out, errs)
	}
	token := p.compose("run", "--rm", "-T", "--entrypoint", "/bin/sh", "credentials", "-c", "cat /credentials/admin-token")
	if len(token) != 64 || strings.Trim(token, "0123456789abcdef") != "" {
		p.t.Errorf("got a token of %d characters, want 64 hexadecimal digits", len(token))
	}
	if logs := p.compose("logs", "--no-color", "command", "query", "credentials"); strings.Contains(logs, token) {
		p.t.Error("got logs with the token, want it left out")
	}
}

// states returns the states that status reports for the nodes, by name.
func (p *project) states() map[string]string {
	p.t.Helper()
	var s struct {
		Nodes []struct{ Node, State string }
	}
	out, errs, _ := p.tool("status", "--output", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		p.t.Fatalf("%v\n%s%s", err, out, errs)
	}
	states := map[string]string{}
	for _, n := range s.Nodes {
		states[n.Node] = n.State
	}
	return states
}

// forgetsTheDead waits until the killed containers are reported as gone, and forgets them.
// After that, no node is missing.
func forgetsTheDead(p *project, killed []string) {
	p.t.Helper()
	dead := make([]string, len(killed))
	for i, id := range killed {
		dead[i] = p.node(id)
	}
	const patience = 2 * time.Minute
	gone := func() bool {
		states := p.states()
		return !slices.ContainsFunc(dead, func(name string) bool { return states[name] != "gone" })
	}
	for end := time.Now().Add(patience); !gone(); {
		if time.Now().After(end) {
			p.t.Fatalf("got the states %[2]v, want %[1]v gone", dead, p.states())
		}
	}
	p.well(append([]string{"nodes", "forget"}, dead...)...)
	p.well("status")
}

// The services that Compose starts by default do not include the tool.
func TestTheToolIsCalledByName(t *testing.T) {
	read(t, "docker-compose.yml")
	p := &project{t: t, port: 80}
	if services := strings.Fields(p.run("docker", "compose", "config", "--services")); slices.Contains(services, "tool") {
		t.Errorf("got the services %v, want none named tool", services)
	}
}
