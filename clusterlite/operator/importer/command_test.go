package importer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/importer"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	servicetest.ClearSettings()
	os.Exit(m.Run())
}

// startProxy runs a proxy that forwards requests as nginx does, unless fault answers them.
// Requests are counted from 1.
func startProxy(t *testing.T, target string, fault func(n int64, w http.ResponseWriter, pass http.Handler, r *http.Request) bool) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Header.Set("Clusterlite-Half-Duplex", "on")
	}}
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fault(n.Add(1), w, proxy, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.ndjson")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func userLines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"name":"U","email":"u%d@example.com"}`+"\n", i)
	}
	return b.String()
}

func wantUsers(t *testing.T, url string, want int) {
	t.Helper()
	r, err := http.Get(url + "/users?limit=1&count=true")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if got := r.Header.Get("Total-Count"); got != strconv.Itoa(want) {
		t.Errorf("there are %s users, want %d", got, want)
	}
}

func runImport(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = cli.Run(t.Context(), append([]string{"import", "--collection=users"}, args...), &out, &errs)
	return out.String(), errs.String(), err
}

func TestImport(t *testing.T) {
	url := clitest.Serve(t, t.TempDir()).URL
	file := writeFile(t, userLines(0, 2)+"\n"+`{"name":"no address"}`+"\r\n"+"nonsense\n"+userLines(1, 2)+strings.TrimSpace(userLines(2, 3)))
	failed := filepath.Join(t.TempDir(), "failed")
	stdout, stderr, err := runImport(t, file, "--url="+url, "--output=json", "--errors="+failed)
	var result importer.Result
	if !errors.Is(err, process.ErrReported) || json.Unmarshal([]byte(stdout), &result) != nil || result != (importer.Result{"users", 7, 3, 3}) || stderr != "" {
		t.Errorf("got %v, stdout %s, stderr %s, want 7 lines, 3 created and 3 failed", err, stdout, stderr)
	}
	b, err := os.ReadFile(failed)
	if err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(bytes.NewReader(b))
	for _, want := range []struct{ line, status int64 }{{4, 422}, {5, 400}, {6, 409}} {
		var f importer.Failure
		if err := lines.Decode(&f); err != nil || f.Line != want.line || int64(f.Status) != want.status {
			t.Errorf("got %+v, %v, want line %d with status %d", f, err, want.line, want.status)
		}
	}
	wantUsers(t, url, 3)
	if _, err := os.Stat(file + ".import"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for the checkpoint, want it removed", err)
	}

	// A repeated import within a day creates no entity twice. An import with a different name
	// would create new entities.
	stdout, stderr, err = runImport(t, file, "--url="+url+"/")
	if !errors.Is(err, process.ErrReported) || stdout != "users: 7 lines, 3 created, 3 failed\n" || !strings.Contains(stderr, "line 4: 422 ") || !strings.Contains(stderr, "/email is required") {
		t.Errorf("got %v, stdout %s, stderr %s, want the same result", err, stdout, stderr)
	}
	wantUsers(t, url, 3)
	if stdout, _, err = runImport(t, file, "--url="+url, "--key=again"); !errors.Is(err, process.ErrReported) || stdout != "users: 7 lines, 0 created, 6 failed\n" {
		t.Errorf("got %v, stdout %s, want 6 failed lines", err, stdout)
	}
}

func TestImportFromAPipe(t *testing.T) {
	url := clitest.Serve(t, t.TempDir()).URL
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	go func() {
		_, _ = io.WriteString(out, userLines(0, 10))
		_ = out.Close()
	}()
	var stdout bytes.Buffer
	i := importer.Command{Output: subcommand.Output{Output: "text"}, File: "-", Collection: "users", URL: url}
	if err := i.Run(t.Context(), subcommand.Streams{Stdin: in, Stdout: &stdout, Stderr: io.Discard}); err != nil || stdout.String() != "users: 10 lines, 10 created, 0 failed\n" {
		t.Errorf("got %v, stdout %s, want 10 created", err, stdout.String())
	}
	wantUsers(t, url, 10)
}

// The import survives temporary faults, and creates no entity twice.
func TestImportOverFaults(t *testing.T) {
	url := clitest.Serve(t, t.TempDir()).URL
	proxy := startProxy(t, url, func(n int64, w http.ResponseWriter, pass http.Handler, r *http.Request) bool {
		switch n {
		case 1: // the request is carried out, but the answer is lost
			pass.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 2: // the request is carried out, but the answer is cut off
			answer := httptest.NewRecorder()
			pass.ServeHTTP(answer, r)
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = w.Write(answer.Body.Bytes()[:1000])
			panic(http.ErrAbortHandler)
		case 3:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4: // a batch fails temporarily, in a complete answer
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = io.WriteString(w, `{"line":1,"status":503,"title":"The log is out of reach"}`+"\n")
		default:
			return false
		}
		return true
	})
	stdout, _, err := runImport(t, writeFile(t, userLines(0, 300)), "--url="+proxy)
	if err != nil || stdout != "users: 300 lines, 300 created, 0 failed\n" {
		t.Errorf("got %v, stdout %s, want 300 created", err, stdout)
	}
	wantUsers(t, url, 300)
}

// If the store itself fails on a line, the import reports it and continues with the next line.
func TestImportOverALineThatTheStoreFailsOn(t *testing.T) {
	url := clitest.Serve(t, t.TempDir()).URL
	proxy := startProxy(t, url, func(_ int64, w http.ResponseWriter, _ http.Handler, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, `{"line":1,"status":201}`+"\n"+`{"line":2,"status":500,"title":"Internal server error"}`+"\n"+`{"line":3,"status":201}`+"\n")
		return true
	})
	stdout, stderr, err := runImport(t, writeFile(t, userLines(0, 3)), "--url="+proxy)
	if !errors.Is(err, process.ErrReported) || stdout != "users: 3 lines, 2 created, 1 failed\n" || !strings.Contains(stderr, "line 2: 500 ") {
		t.Errorf("got %v, stdout %s, stderr %s, want 2 created, and line 2 failed with 500", err, stdout, stderr)
	}
}

// An import that stopped or was killed continues where it stopped.
func TestImportIsResumed(t *testing.T) {
	url := clitest.Serve(t, t.TempDir()).URL
	var away atomic.Bool
	var requests atomic.Int64
	proxy := startProxy(t, url, func(n int64, w http.ResponseWriter, pass http.Handler, r *http.Request) bool {
		requests.Add(1)
		if n > 1 && away.Load() {
			pass.ServeHTTP(httptest.NewRecorder(), r) // the request is carried out, but the client gets no answer
			panic(http.ErrAbortHandler)
		}
		return false
	})
	away.Store(true)
	file := writeFile(t, userLines(0, 5000)+"{}\n"+userLines(5000, 5500))
	stdout, _, err := runImport(t, file, "--url="+proxy, "--retry-for=0s")
	if err == nil || stdout != "" || !strings.Contains(err.Error(), "stopped after 5000 lines (5000 created, 0 failed)") {
		t.Fatalf("got %v, stdout %s, want a stop after 5000 lines", err, stdout)
	}
	if _, _, err := runImport(t, file, "--url="+url); err == nil || !strings.Contains(err.Error(), file+".import") {
		t.Errorf("another store: got %v, want an error that names the checkpoint", err)
	}
	away.Store(false)
	requests.Store(0)
	stdout, stderr, err := runImport(t, file, "--url="+proxy)
	if !errors.Is(err, process.ErrReported) || stdout != "users: 5501 lines, 5500 created, 1 failed\n" || !strings.Contains(stderr, "line 5001: ") {
		t.Errorf("got %v, stdout %s, stderr %s, want 5500 created, and line 5001 failed", err, stdout, stderr)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("got %d chunks sent, want the remaining one", n)
	}
	wantUsers(t, url, 5500)
}

// The error for an invalid checkpoint says what to do, and following it restarts the
// import.
func TestImportWithABrokenCheckpoint(t *testing.T) {
	url := clitest.Serve(t, t.TempDir()).URL
	file := writeFile(t, userLines(0, 3))
	for name, text := range map[string]string{
		"empty": "", "blanks": " \n", "zeroes": strings.Repeat("\x00", 100), "cut off": `{"url":"http://127`, "no object": "[1]", "no member": "{}",
		"another document": `{"name":"Ada"}`, "two": `{"url":"` + url + `","collection":"users","key":"","lines":1,"bytes":9,"digest":"AAAA"}{}`,
		"negative": `{"url":"` + url + `","collection":"users","key":"","lines":-1,"bytes":9,"digest":"AAAA"}`,
	} {
		if err := os.WriteFile(file+".import", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, _, err := runImport(t, file, "--url="+url)
		var broken *importer.CheckpointError
		if !errors.As(err, &broken) || stdout != "" || !strings.Contains(err.Error(), file+".import") || !strings.Contains(err.Error(), "delete it") {
			t.Errorf("%s: got %v, want a CheckpointError that says to delete the file", name, err)
		}
		if b, err := os.ReadFile(file + ".import"); err != nil || string(b) != text {
			t.Errorf("%s: got %q, %v in the file, want %q", name, b, err, text)
		}
	}
	wantUsers(t, url, 0)
	if err := os.Remove(file + ".import"); err != nil {
		t.Fatal(err)
	}
	if stdout, _, err := runImport(t, file, "--url="+url); err != nil || stdout != "users: 3 lines, 3 created, 0 failed\n" {
		t.Errorf("got %v, stdout %s, want 3 created", err, stdout)
	}
}

func TestImportOfAFileThatChanged(t *testing.T) {
	file := writeFile(t, userLines(0, 10))
	if err := os.WriteFile(file+".import", []byte(`{"url":"http://127.0.0.1:1","collection":"users","lines":2,"bytes":60,"digest":"AAAA"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runImport(t, file, "--url=http://127.0.0.1:1"); !errors.Is(err, importer.ErrInputChanged) {
		t.Errorf("got %v, want %v", err, importer.ErrInputChanged)
	}
}

func TestImportReportsErrors(t *testing.T) {
	url := clitest.Serve(t, t.TempDir()).URL
	file := writeFile(t, userLines(0, 1))
	for _, c := range []struct {
		args []string
		said string
	}{
		{[]string{file, "--url=" + url, "--collection=nothing"}, "Unknown collection"},
		{[]string{file + "x", "--url=" + url}, "no such file"},
		{[]string{file, "--url=" + url, "--errors=/dev/null/x"}, "/dev/null/x"},
		{[]string{file, "--url=" + url, "--checkpoint=/dev/null/x"}, "/dev/null/x"},
		{[]string{file, "--url=http://127.0.0.1:1", "--retry-for=0s"}, "127.0.0.1:1"},
	} {
		if stdout, _, err := runImport(t, c.args...); err == nil || stdout != "" || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%v: got %v, want an error with %q", c.args, err, c.said)
		}
	}
	for _, args := range [][]string{{}, {file, "--url=localhost"}, {file, "--url=ftp://x"}, {file, "--collection=A b"}, {file, "--retry-for=-1s"}, {file, "--output=xml"}} {
		var usage *settings.UsageError
		if _, _, err := runImport(t, args...); !errors.As(err, &usage) {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := cli.Run(ctx, []string{"import", file, "--collection=users", "--url=" + url}, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
