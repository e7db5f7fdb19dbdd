package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
)

// counting is a client that counts the answers to its requests.
type counting struct {
	t        *testing.T
	node     clitest.Server
	statuses map[int]int
	// inLog is the number of writes that are certainly in the log. mayBe is the number of those
	// that may be.
	inLog, mayBe int
}

type reply struct {
	status int
	body   string
	header http.Header
}

// do sends a request. Status 500, or 503 for no valid reason, fails the test.
func (c *counting) do(method, path, body string) reply {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.node.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	switch {
	case method == http.MethodPatch:
		r.Header.Set("Content-Type", "application/merge-patch+json")
	case strings.HasPrefix(body, "{") && strings.Contains(body, "}\n"):
		r.Header.Set("Content-Type", "application/x-ndjson")
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("%s %s: got %v, want an answer", method, path, err)
	}
	if c.statuses == nil {
		c.statuses = map[int]int{}
	}
	c.statuses[response.StatusCode]++
	a := reply{response.StatusCode, string(got), response.Header}
	switch known := strings.Contains(a.body, "/not-ready") || strings.Contains(a.body, "/outcome-unknown"); {
	case a.status == 503 && !known, a.status >= 500 && a.status != 503:
		c.t.Errorf("%s %s: got the unexpected answer %d %s", method, path, a.status, a.body)
	}
	if method != http.MethodGet && a.status < 300 {
		c.inLog++
	}
	if strings.Contains(a.body, "/outcome-unknown") {
		c.mayBe++
	}
	return a
}

// readyz returns whether the node is ready, and the answer of /readyz.
func (c *counting) readyz() (ready bool, said string) {
	c.t.Helper()
	response, err := http.Get(c.node.Admin + "/readyz")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode == 200, string(got)
}

// metric returns the value of the metric with these labels.
func (c *counting) metric(line string) string {
	c.t.Helper()
	metrics := clitest.Request(c.t, "GET", c.node.Admin+"/metrics", "")
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + ` (\S+)$`).FindSubmatch(metrics)
	if found == nil {
		c.t.Fatalf("got no metric %s", line)
	}
	return string(found[1])
}

// end returns the end of the log.
func (c *counting) end() int64 {
	c.t.Helper()
	var s struct {
		End int64 `json:"end"`
	}
	if err := json.Unmarshal(clitest.Request(c.t, "GET", c.node.Admin+"/status", ""), &s); err != nil {
		c.t.Fatal(err)
	}
	return s.End
}

// eventually polls for a condition that gives no signal.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: got a timeout", what)
		}
	}
}

// people creates users with one import, and returns their ids.
func (c *counting) people(count int) (ids []string) {
	c.t.Helper()
	var lines bytes.Buffer
	for i := range count {
		fmt.Fprintf(&lines, "{\"name\":\"%0200d\",\"email\":\"u%d@example.com\"}\n", i, i)
	}
	before := c.inLog
	got := c.do("POST", "/users", lines.String())
	for _, found := range regexp.MustCompile(`"id":"([^"]+)"`).FindAllStringSubmatch(got.body, -1) {
		ids = append(ids, found[1])
	}
	if len(ids) != count {
		c.t.Fatalf("got %d created users, want %d: %d %.300s", len(ids), count, got.status, got.body)
	}
	c.inLog = before + count
	return ids
}

// zero overwrites most of the node's file.
func zero(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "projection.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, info.Size()/2), info.Size()/4/4096*4096)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A node whose file is damaged, whether it is running or stopped, answers no request with
// 500, appends nothing whose outcome it can't report, rebuilds its projection, and loses
// nothing.
func TestADamagedProjectionIsRepaired(t *testing.T) {
	for name, running := range map[string]bool{"while it runs": true, "while it is stopped": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			node := clitest.Serve(t, dir)
			c := &counting{t: t, node: node}
			ids := c.people(2000)
			before := c.end()
			db := clitest.Database(t, dir)
			eventually(t, "a checkpoint", func() bool { // another checkpoint may be running in the background
				var busy, pages, copied int
				if err := db.QueryRowContext(t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &copied); err != nil {
					t.Fatal(err)
				}
				return busy == 0
			})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if !running {
				node.Stop()
			}
			zero(t, dir)
			if !running {
				node = clitest.Serve(t, dir)
				c.node = node
			}
			c.inLog = 0
			i := 0
			eventually(t, "the repair", func() bool {
				i++
				c.do("GET", "/users/"+ids[i*7%len(ids)], "")
				c.do("GET", fmt.Sprintf("/users?limit=50&email[gt]=u%d", i%10), "")
				c.do("PATCH", "/users/"+ids[i*13%len(ids)], fmt.Sprintf(`{"name":"n%d"}`, i))
				c.do("POST", "/users", fmt.Sprintf(`{"name":"new","email":"new%d@example.com"}`, i))
				return c.metric(`clusterlite_projection_repairs_total{result="done"}`) != "0"
			})
			eventually(t, "readiness", func() bool { ready, _ := c.readyz(); return ready })
			for _, id := range ids {
				if got := c.do("GET", "/users/"+id, ""); got.status != 200 {
					t.Fatalf("after the repair: %s: got %d %s, want 200", id, got.status, got.body)
				}
			}
			if c.metric("clusterlite_projection_damaged") != "0" || c.metric(`clusterlite_storage_errors_total{fault="corrupt"}`) == "0" {
				t.Error("got metrics without the damage and its end")
			}
			// The reported end may be slightly out of date, but it is never too high.
			if after := c.end(); after-before > int64(c.inLog+c.mayBe) {
				t.Errorf("got %d more records in the log, want at most the %d successful and %d unknown writes: %v", after-before, c.inLog, c.mayBe, c.statuses)
			}
			if kept, _ := filepath.Glob(filepath.Join(dir, "projection.damaged-*.db")); len(kept) != 1 {
				t.Errorf("kept: got %v, want one file", kept)
			}
			t.Log(c.statuses)
		})
	}
}

// While another process holds a lock on the file, the node rejects a write at once with the
// reason, and does not append it.
func TestAWriteOfANodeThatIsStuckIsNotAppended(t *testing.T) {
	dir := t.TempDir()
	node := clitest.Serve(t, dir, "--write-wait=500ms", "--read-wait=3s")
	c := &counting{t: t, node: node}
	id := c.people(1)[0]
	conn, err := clitest.Database(t, dir).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	// The node learns of the lock only from the first write.
	got := c.do("PATCH", "/users/"+id, `{"name":"first"}`)
	if got.status != 503 || !strings.Contains(got.body, "The write is in the log") {
		t.Errorf("the first write: got %d %s, want 503 and that the write is in the log", got.status, got.body)
	}
	const why = "Another process holds a lock"
	eventually(t, "that the node is not ready", func() bool { ready, _ := c.readyz(); return !ready })
	if _, said := c.readyz(); !strings.Contains(said, "another process holds a lock") {
		t.Errorf("readyz: got %s, want the lock as the reason", said)
	}
	end := c.end()
	for what, got := range map[string]reply{
		"a change":  c.do("PATCH", "/users/"+id, `{"name":"second"}`),
		"a create":  c.do("POST", "/users", `{"name":"a","email":"a@example.com"}`),
		"an import": c.do("POST", "/users", "{\"name\":\"a\",\"email\":\"a@example.com\"}\n{\"name\":\"b\",\"email\":\"b@example.com\"}\n"),
		"a read":    c.do("GET", "/users/"+id, ""),
	} {
		if got.status != 503 || !strings.Contains(got.body, "/not-ready") || !strings.Contains(got.body, why) {
			t.Errorf("%s: got %d %s, want 503 not-ready because of %q", what, got.status, got.body, why)
		}
	}
	if _, err := conn.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "readiness", func() bool { ready, _ := c.readyz(); return ready })
	if now := c.end(); now != end {
		t.Errorf("the log ends at %d, want %d: something was appended", now, end)
	}
	if got := c.do("GET", "/users/"+id, ""); !strings.Contains(got.body, `"first"`) {
		t.Errorf("the first write: got %s, want its name", got.body)
	}
	if c.metric(`clusterlite_command_verdicts_total{verdict="unknown"}`) != "1" || c.metric(`clusterlite_storage_errors_total{fault="locked"}`) == "0" {
		t.Error("got metrics without the unknown verdict or the lock")
	}
}
