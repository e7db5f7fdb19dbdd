package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// The documentation page shows every operation in a real browser, logs no errors, and
// requests nothing from other hosts.
func TestBrowserShowsTheDocumentation(t *testing.T) {
	wanted(t, "browser")
	c := cluster.Serve(t)
	page := browse(t, c.URL+"/docs")
	for _, collection := range []string{"users", "orders", "products"} {
		for operation, path := range map[string]string{"GET": "", "POST": "", "GET/": "/{id}", "PUT": "/{id}", "PATCH": "/{id}", "DELETE": "/{id}"} {
			if id := `id="api-1/tag/` + collection + "/" + strings.TrimSuffix(operation, "/") + "/" + collection + path + `"`; !strings.Contains(page.dom, id) {
				t.Errorf("got a page without %s", id)
			}
		}
	}
	// The page's script prints its version, and must print nothing else.
	page.console = slices.DeleteFunc(page.console, func(line string) bool { return strings.Contains(line, `"@scalar/api-reference@`) })
	if len(page.console) > 0 {
		t.Errorf("got the console output\n%s\nwant none", strings.Join(page.console, "\n"))
	}
	asked := map[string]bool{}
	for _, url := range page.requests {
		asked[url] = true
		if !strings.HasPrefix(url, c.URL+"/") {
			t.Errorf("got a request for %s, want only the store's addresses", url)
		}
	}
	if !asked[c.URL+"/openapi.json"] {
		t.Errorf("got the requests %v, want one for /openapi.json", page.requests)
	}
}

// A visit is the result of opening a page in a browser.
type visit struct {
	dom string
	// console holds the lines of the browser's console.
	console []string
	// requests returns the addresses that the page itself requested, without those that the
	// browser requests on its own.
	requests []string
}

var consoleLine = regexp.MustCompile(`(?m)^\[.*:CONSOLE.*$`)

// browse opens a page in a browser that finds no host but this one.
func browse(t *testing.T, url string) visit {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser (Debian: chromium): %v", err)
	}
	dir := t.TempDir()
	network := filepath.Join(dir, "network.json")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	browser := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr", "--log-net-log="+network,
		"--virtual-time-budget=20000", "--dump-dom", url)
	var dom, says bytes.Buffer
	browser.Stdout, browser.Stderr = &dom, &says
	// The browser consists of many processes, which must not outlive the test.
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	browser.Cancel = func() error { return syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) }
	if err := browser.Run(); err != nil {
		t.Fatalf("run the browser: %v\n%s", err, says.String())
	}
	origin := url[:strings.LastIndex(url, "/")]
	return visit{dom.String(), consoleLine.FindAllString(says.String(), -1), requestsFrom(t, network, origin)}
}

// requestsFrom reads the requests of pages of an origin from a browser's network log.
func requestsFrom(t *testing.T, file, origin string) (urls []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Events []struct {
			Params struct{ URL, Initiator string }
		}
	}
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatalf("decode the browser's network log: %v", err)
	}
	for _, e := range log.Events {
		if e.Params.Initiator == origin {
			urls = append(urls, e.Params.URL)
		}
	}
	return urls
}
