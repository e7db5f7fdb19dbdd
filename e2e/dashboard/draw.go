package dashboard

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/png"
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

// A Drawing is a section with the data of its panels.
type Drawing struct {
	Title   string   `json:"title"`
	Answers []Answer `json:"answers"`
	// Top and Height are its place in the page, in pixels.
	Top    int `json:"top"`
	Height int `json:"height"`
}

// The size of the page in pixels. Grafana's grid has 24 columns.
const (
	width    = 1440
	line     = 30 // of the grid
	headline = 44
)

// Draw draws sections. Each becomes a PNG file in a folder, which is named after it.
func Draw(t testing.TB, dir string, all []Drawing) {
	t.Helper()
	height := 0
	for i := range all {
		top, bottom := 1<<30, 0
		for _, a := range all[i].Answers {
			top, bottom = min(top, a.Panel.GridPos.Y), max(bottom, a.Panel.GridPos.Y+a.Panel.GridPos.H)
		}
		all[i].Top, all[i].Height = height, headline+(bottom-top)*line
		height += all[i].Height
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	library, style := install(t)
	html := strings.NewReplacer("/*style*/", style, "/*library*/", library, "/*data*/", string(data), "/*script*/", script).Replace(page)
	source := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(source, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	picture := screenshot(t, source, height)
	for _, d := range all {
		name := strings.Trim(regexp.MustCompile(`[^a-z]+`).ReplaceAllString(strings.ToLower(d.Title), "-"), "-") + ".png"
		part := image.NewRGBA(image.Rect(0, 0, width, d.Height)) // without transparency, which a part of the picture would keep
		draw.Draw(part, part.Bounds(), picture, image.Pt(0, d.Top), draw.Src)
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, part); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// install returns the code and the style sheet of uPlot.
func install(t testing.TB) (library, style string) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--silent", uplot).CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v\n%s", uplot, err, out)
	}
	files := filepath.Join(dir, "node_modules", "uplot", "dist")
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

// screenshot returns what a browser shows of a page. The page's script sets the title to "drawn" at
// its end.
func screenshot(t testing.TB, source string, height int) image.Image {
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
		t.Fatal("got a page whose script failed, want one that is drawn")
	}
	file := filepath.Join(t.TempDir(), "page.png")
	browser("--screenshot=" + file)
	picture, err := png.Decode(strings.NewReader(text(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := picture.Bounds().Max, image.Pt(width, height); got != want {
		t.Fatalf("got a picture of %v pixels, want %v", got, want)
	}
	return picture
}
