package dashboard

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// uplot is the library of charts that Grafana's time series use.
const uplot = "uplot@1.6.32"

var (
	//go:embed page.html
	page string
	//go:embed draw.js
	script string
)

// Draw draws a section into a PNG file of a folder, which is named after it. The folder tools keeps
// what npm installs.
func Draw(t testing.TB, tools, dir string, title string, answers []Answer) {
	t.Helper()
	data, err := json.Marshal(map[string]any{"title": title, "answers": answers})
	if err != nil {
		t.Fatal(err)
	}
	library, style := install(t, tools)
	html := strings.NewReplacer("/*style*/", style, "/*library*/", library, "/*data*/", string(data), "/*script*/", script).Replace(page)
	source := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(source, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	slug := strings.Trim(regexp.MustCompile(`[^a-z]+`).ReplaceAllString(strings.ToLower(title), "-"), "-")
	screenshot(t, source, filepath.Join(dir, slug+".png"), height(answers))
}

// The size of a picture, in pixels. Grafana's grid has 24 columns.
const (
	width    = 1440
	unit     = 30 // a line of the grid
	headline = 44
)

func height(answers []Answer) int {
	top, bottom := 1<<30, 0
	for _, a := range answers {
		top, bottom = min(top, a.Panel.GridPos.Y), max(bottom, a.Panel.GridPos.Y+a.Panel.GridPos.H)
	}
	return headline + (bottom-top)*unit
}

// install returns the code and the style sheet of uPlot.
func install(t testing.TB, dir string) (library, style string) {
	t.Helper()
	files := filepath.Join(dir, "node_modules", "uplot", "dist")
	if _, err := os.Stat(files); err != nil {
		if out, err := exec.CommandContext(t.Context(), "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--silent", uplot).CombinedOutput(); err != nil {
			t.Fatalf("install %s: %v\n%s", uplot, err, out)
		}
	}
	return text(t, filepath.Join(files, "uPlot.iife.min.js")), text(t, filepath.Join(files, "uPlot.min.css"))
}

func text(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// screenshot opens a page in a browser, which writes what it shows into a file. The page's script sets
// the title to "drawn" at its end.
func screenshot(t testing.TB, source, file string, height int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	browser := func(what string) string {
		cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
			"--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
			fmt.Sprintf("--window-size=%d,%d", width, height), "--virtual-time-budget=10000", what, "file://"+source)
		// The browser consists of many processes, which must not outlive the test.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("run the browser (Debian: chromium): %v", err)
		}
		return string(out)
	}
	if dom := browser("--dump-dom"); !strings.Contains(dom, "<title>drawn</title>") {
		t.Fatalf("%s: got a page whose script failed, want one that is drawn", file)
	}
	browser("--screenshot=" + file)
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
}
