package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// TestClusterDiskFull fills the disks of a command service and a query service while another
// node accepts writes. The services report why they are not ready. They append nothing, damage
// nothing, and continue by themselves once there is space.
func TestClusterDiskFull(t *testing.T) {
	wanted(t, "netns") // this test needs root too
	c := cluster.Serve(t)
	command, query := c.AddCommand(), c.AddQuery()
	for _, p := range []*cluster.Process{command, query} {
		if err := os.MkdirAll(p.DataDir(), 0o750); err != nil {
			t.Fatal(err)
		}
		cluster.Mount(t, p.DataDir(), 48)
		p.Start()
		p.AwaitReady()
	}
	id := suite.Target{URL: command.URL}.Do(t, "POST", "/users", `{"name":"Ada","email":"ada@example.com"}`).Want(t, 201).Entity(t).ID

	for _, p := range []*cluster.Process{command, query} {
		fillUp(t, p.DataDir())
	}
	batch := 0
	for _, p := range []*cluster.Process{command, query} {
		eventually(t, p.Name+" meets the full disk", func() bool {
			batch++
			var lines strings.Builder
			for i := range 500 {
				fmt.Fprintf(&lines, "{\"name\":\"%0200d\",\"email\":\"b%d-%d@example.com\"}\n", i, batch, i)
			}
			suite.Target{URL: c.Server.URL}.Do(t, "POST", "/users", lines.String(), "Content-Type: application/x-ndjson").Want(t, 200)
			return strings.Contains(p.NotReady(), "is full")
		})
	}
	end := c.Server.Status().End
	for what, r := range map[string]suite.Response{
		"a create": suite.Target{URL: command.URL}.Do(t, "POST", "/users", `{"name":"Bob","email":"bob@example.com"}`),
		"a change": suite.Target{URL: command.URL}.Do(t, "PATCH", "/users/"+id, `{"name":"Bob"}`),
		"a read":   suite.Target{URL: query.URL}.Do(t, "GET", "/users/"+id, ""),
	} {
		if p := r.Problem(t, 503, "not-ready"); !strings.Contains(p.Detail, "The disk of this node is full.") {
			t.Errorf("%s: got %q, want that the disk is full", what, p.Detail)
		}
	}
	if now := c.Server.Status().End; now != end {
		t.Errorf("got the end of the log %d, want %d: something was appended", now, end)
	}
	for _, p := range []*cluster.Process{command, query} {
		metrics := scrape(t, p)
		for _, want := range []string{
			`(?m)^clusterlite_storage_errors_total\{fault="full"\} [1-9]`, `(?m)^clusterlite_projection_damaged 0$`, `(?m)^clusterlite_ready 0$`,
			`(?m)^clusterlite_data_disk_bytes\{part="size"\} 5\.0331648e\+07$`,
		} {
			if !regexp.MustCompile(want).MatchString(metrics) {
				t.Errorf("%s: no metric matches %s", p.Name, want)
			}
		}
	}

	for _, p := range []*cluster.Process{command, query} {
		if err := os.Remove(filepath.Join(p.DataDir(), "ballast")); err != nil {
			t.Fatal(err)
		}
		p.AwaitReady()
	}
	position := suite.Target{URL: command.URL}.Do(t, "PATCH", "/users/"+id, `{"name":"Bob"}`).Want(t, 200).Position(t)
	for _, p := range []*cluster.Process{c.Server, command, query} {
		eventually(t, p.Name+" has all", func() bool { return p.Status().Position >= position })
	}
	for _, p := range []*cluster.Process{command, query} {
		if got, want := p.Status().Digests["users"], c.Server.Status().Digests["users"]; got != want {
			t.Errorf("%s: got digest %s, want %s", p.Name, got, want)
		}
	}
}

// fillUp fills the file system that is mounted on a folder.
func fillUp(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func scrape(t *testing.T, p *cluster.Process) string {
	t.Helper()
	r, err := http.Get(p.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
