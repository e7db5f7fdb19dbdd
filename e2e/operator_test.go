package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// tool runs a subcommand of the operator's tool on the cluster. It returns the output and the
// exit status.
func tool(t *testing.T, c *cluster.Cluster, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := c.Tool(t, "clusterlite.events", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: got %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// verifyUnderLoad verifies that all nodes are equal while clients write.
func verifyUnderLoad(t *testing.T, c *cluster.Cluster) {
	eventually(t, "all nodes are found", func() bool {
		out, _, _ := tool(t, c, "nodes")
		return !slices.ContainsFunc(c.Processes(), func(p *cluster.Process) bool { return !strings.Contains(out, p.Node()) })
	})
	l := startLoad(t, c.URL)
	l.progress(20)
	out, errs, status := tool(t, c, "verify", "--deep")
	nodes := len(c.Processes())
	if status != 0 || !strings.Contains(out, fmt.Sprintf("Equal: %d of %d nodes", nodes, nodes)) {
		t.Errorf("got exit status %d, want 0 and %d equal nodes:\n%s%s", status, nodes, out, errs)
	}
	l.progress(20)
	l.end(c)
}

// statusMissesTheDead kills a node. The tool reports it as missing until it is back.
func statusMissesTheDead(t *testing.T, c *cluster.Cluster, p *cluster.Process) {
	well := func() bool { _, _, status := tool(t, c, "status"); return status == 0 }
	eventually(t, "all is well", well)
	p.Kill()
	out, _, status := tool(t, c, "status")
	if status != 1 || !strings.Contains(out, "node "+p.Name+" is unreachable") {
		t.Errorf("got exit status %d, want 1 and an unreachable node:\n%s", status, out)
	}
	if out, _, status := tool(t, c, "verify"); status != 1 || !strings.Contains(out, "node "+p.Name+" could not be checked") {
		t.Errorf("got exit status %d, want 1 and a node that could not be checked:\n%s", status, out)
	}
	p.Start()
	p.AwaitReady()
	eventually(t, "all is well", well)
	if code := p.Stop(); code != 0 {
		t.Errorf("%s: got exit code %d, want 0", p.Name, code)
	}
	if out, _, status := tool(t, c, "status"); status != 0 || !strings.Contains(out, "left") {
		t.Errorf("got exit status %d, want 0 and a node that left:\n%s", status, out)
	}
	p.Start()
	p.AwaitReady()
}

// fullDisk fills the disk of a query node. The node reports that. No client is sent to it for
// longer than one attempt. The node continues by itself once there is room.
func fullDisk(t *testing.T, c *cluster.Cluster, p *cluster.Process) {
	const roomy = 512
	if code := p.Stop(); code != 0 {
		t.Errorf("%s: got exit code %d, want 0", p.Name, code)
	}
	t.Cleanup(func() { // the process uses its own folder again
		p.Start()
		p.AwaitReady()
	})
	disk := cluster.Mount(t, p.DataDir(), roomy)
	t.Cleanup(p.Kill) // before the disk is removed
	p.Start()
	p.AwaitReady()
	target := suite.Target{URL: c.URL}
	path := "/users/" + target.Create(t, "kept").ID
	equalRows(t, c)
	disk.Resize(disk.Used() + 1)
	fillUp(t, p.DataDir()) // the node gets no room back by a checkpoint

	// A strong read waits up to two seconds on the stuck node before Nginx tries another one, so
	// the reads run at the same time.
	reads := func() {
		var clients sync.WaitGroup
		for _, consistency := range []string{"strong", "eventual"} {
			for range 3 { // Nginx may try any node first
				clients.Go(func() {
					r, err := target.Try(t, "GET", path, "", "Clusterlite-Consistency: "+consistency)
					if err != nil || r.Status != 200 {
						t.Errorf("a read, %s: got %d, %v, want 200: %s", consistency, r.Status, err, r.Body)
					}
				})
			}
		}
		clients.Wait()
	}
	eventually(t, "the disk is full", func() bool {
		importUsers(t, c.URL, 500)
		reads()
		return strings.Contains(p.NotReady(), "can't apply the log")
	})
	if said := p.NotReady(); !strings.Contains(said, "full") {
		t.Errorf("got %s, want a full disk as the reason", said)
	}
	for range 20 {
		reads()
	}
	direct := suite.Target{URL: p.URL}
	direct.Do(t, "GET", path, "", "Clusterlite-Consistency: eventual").Want(t, 503)
	if out, _, status := tool(t, c, "status"); status != 1 || !strings.Contains(out, "node "+p.Name+" is unready: can't apply the log") {
		t.Errorf("got exit status %d, want 1 and a node that can't apply the log:\n%s", status, out)
	}

	disk.Resize(roomy)
	p.AwaitReady()
	equalRows(t, c)
}

// toolsNameTheStopped suspends a node so that it behaves like a host that hangs: it accepts
// connections, and answers nothing. The tool names the node, in bounded time, and queries the
// others.
func toolsNameTheStopped(t *testing.T, c *cluster.Cluster, p *cluster.Process) {
	eventually(t, "all is well", func() bool { _, _, status := tool(t, c, "status"); return status == 0 })
	p.Signal(syscall.SIGSTOP)
	silent := "node " + p.Node() + " at "
	const words = " accepted the connection but did not answer within "
	if out, errs, status := tool(t, c, "voids"); status != 0 || !strings.Contains(out, "void records") {
		t.Errorf("voids: got exit status %d, want 0:\n%s%s", status, out, errs)
	}
	var tools sync.WaitGroup // each waits for the node for seconds, so they run at the same time
	for _, args := range [][]string{{"verify"}, {"snapshot", "create", t.TempDir(), "--node", p.Node()}, {"rebuild", "--node", p.Node()}} {
		cmd := c.Tool(t, cluster.Topic, args...)
		tools.Go(func() {
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 || !bytes.Contains(out, []byte(silent)) || !bytes.Contains(out, []byte(words)) {
				t.Errorf("%v: got %v, want exit status 1 and the words %q%q:\n%s", args, err, silent, words, out)
			}
		})
	}
	tools.Wait()
	p.Signal(syscall.SIGCONT)
	p.AwaitReady()
	eventually(t, "all is well again", func() bool { _, _, status := tool(t, c, "status"); return status == 0 })
}
