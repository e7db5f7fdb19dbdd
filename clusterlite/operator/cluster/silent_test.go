package cluster_test

import (
	"bytes"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// addSilent announces a node that accepts connections and never answers, like a process
// stopped by SIGSTOP.
func (c *testCluster) addSilent(name string) (admin string) {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	c.t.Cleanup(func() { _ = l.Close(); <-ended })
	admin = l.Addr().String()
	// This position is the highest of all, so that the tool asks this node for a snapshot.
	e := roster.Entry{Node: name, Role: "query", Admin: admin, State: roster.Running, At: time.Now(), Position: 1 << 30}
	if err := roster.Announce(servicetest.Context(c.t), c.nodes[0].Log, e); err != nil {
		c.t.Fatal(err)
	}
	return admin
}

// The tool names a node that does not answer, and still asks the others.
func TestToolsNameASilentNode(t *testing.T) {
	c := startCluster(t, 2)
	c.write(3)
	// Its name sorts first, so that code that asks one node after another asks it first.
	admin := c.addSilent("a-silent")
	silent := "node a-silent at " + admin + " accepted the connection but did not answer within "
	waiting := "waiting for a-silent at " + admin
	store := filepath.Join(t.TempDir(), "store")
	var running sync.WaitGroup
	for _, call := range []struct {
		args   []string
		well   bool
		stdout string // a part of the standard output
		said   string // a part of the error, or of the standard error output
	}{
		{[]string{"voids"}, true, "0 void records", ""},
		{[]string{"voids", "--node=a-silent"}, false, "", silent},
		{[]string{"voids", "--node=a-silent"}, false, "", waiting},
		{[]string{"verify"}, false, silent, waiting},
		{[]string{"status"}, false, "a-silent is unreachable", ""},
		{[]string{"status"}, false, "accepted the connection but did not answer within", ""},
		{[]string{"snapshot", "create", store, "--node=a-silent"}, false, "", silent},
		{[]string{"snapshot", "create", store}, false, "", waiting},
		{[]string{"rebuild", "--node=a-silent"}, false, silent, ""},
		{[]string{"rebuild", "--admin=" + admin}, false, "", "accepted the connection but did not answer within"},
		{[]string{"rebuild", "--cancel", "--node=a-silent"}, false, silent, ""},
	} {
		running.Go(func() {
			var stdout, stderr bytes.Buffer
			err := cli.Run(servicetest.Context(t), append(call.args, "--kafka-brokers="+c.broker.Addr()), &stdout, &stderr)
			if (err == nil) != call.well {
				t.Errorf("%v: got %v, want that it is well: %v", call.args, err, call.well)
			}
			said := stderr.String()
			if err != nil && !errors.Is(err, process.ErrReported) {
				said += err.Error()
			}
			if !strings.Contains(stdout.String(), call.stdout) || !strings.Contains(said, call.said) {
				t.Errorf("%v: got %q and %q, want that they say %q and %q", call.args, stdout.String(), said, call.stdout, call.said)
			}
		})
	}
	running.Wait()
}
