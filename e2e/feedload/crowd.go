//go:build linux

package feedload

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// A crowd is the process of many clients. Use it from one goroutine, except for connectTo.
type crowd struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.Writer
	lines *bufio.Reader
}

// startCrowd starts the clients.
func startCrowd(t testing.TB, o order) *crowd {
	t.Helper()
	c := &crowd{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	c.cmd.Env = append(os.Environ(), readersVariable+"=1")
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it has usually ended
		_ = c.cmd.Wait()
	})
	c.in, c.lines = in, bufio.NewReaderSize(out, 1<<20)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c.send(string(text))
	return c
}

func (c *crowd) send(line string) {
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		c.t.Errorf("the clients have ended: %v", err)
	}
}

func (c *crowd) receive() string {
	line, err := c.lines.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the clients have ended: %v", err)
	}
	return strings.TrimSpace(line)
}

// connectTo says where clients connect next.
func (c *crowd) connectTo(node *cluster.Process) { c.send("port " + strconv.Itoa(port(c.t, node))) }

// count returns the number of changes that the clients got.
func (c *crowd) count() int64 {
	c.send("count")
	n, err := strconv.ParseInt(c.receive(), 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// cpu returns the processor time that the clients have used.
func (c *crowd) cpu() time.Duration { return cluster.CPUOf(c.t, c.cmd.Process.Pid) }

// finish waits until all clients have reached an offset, and returns what they got.
func (c *crowd) finish(until int64) (results []result) {
	late := time.AfterFunc(2*time.Minute, func() {
		c.t.Errorf("not all clients reached %d in time", until)
		_ = c.cmd.Process.Kill()
	})
	defer late.Stop()
	c.send("until " + strconv.FormatInt(until, 10))
	if err := json.Unmarshal([]byte(c.receive()), &results); err != nil {
		c.t.Fatal(err)
	}
	return results
}

func port(t testing.TB, node *cluster.Process) int {
	u, err := url.Parse(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return n
}
