package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "model:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("model", flag.ContinueOnError)
	flags.SetOutput(stderr)
	root := flags.String("root", ".", "the repository's folder")
	update := flags.Bool("update", false, "take the points of the last run of the benchmarks")
	if err := flags.Parse(args); err != nil {
		return err
	}
	path := filepath.Join(*root, "bench", "model", "points.json")
	if *update {
		if err := updatePoints(path, filepath.Join(*root, "docs", "benchmarks", "results.json")); err != nil {
			return err
		}
	}
	p, err := readPoints(path)
	if err != nil {
		return err
	}
	t := &table{w: stdout}
	t.writes(p)
	t.reads(p)
	t.nodes(p)
	t.breaks(p)
	return t.err
}

func updatePoints(path, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	results := map[string]benchResult{}
	if err := json.Unmarshal(b, &results); err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	p := points{Cores: 2}
	if old, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(old, &p); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	if err := p.take(results); err != nil {
		return err
	}
	b, err = json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644) //nolint:gosec // it is in the repository
}

// A table writes Markdown.
type table struct {
	w   io.Writer
	err error
}

func (t *table) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

func (t *table) writes(p points) {
	fitted, held := chosen(p.Posts)
	g := fit(fitted)
	t.line("Writes to one process: a batch takes %.2f ms and %.3f ms for each write in it; a write takes %.2f ms besides.\n", g.Batch, g.Item, g.Client)
	t.line("| connections | measured, writes/s | model | |\n| --- | --- | --- | --- |")
	for _, one := range p.Posts {
		use := "fitted"
		for _, h := range held {
			if h == one {
				use = "predicted"
			}
		}
		t.line("| %d | %.0f | %.0f | %s |", one.Connections, one.PerSecond, g.throughput(float64(one.Connections)), use)
	}
	t.line("")
}

func (t *table) reads(p points) {
	t.line("Reads, with a client that costs %.0f us a request on the same cores:\n", p.clientCost())
	t.line("| read | CPU, us | measured, reads/s | model |\n| --- | --- | --- | --- |")
	for _, name := range []string{"eventual", "strong", "list"} {
		if r, ok := p.Reads[name]; ok {
			t.line("| %s | %.0f | %.0f | %.0f |", name, r.CPU, r.PerSecond, p.reads(r.CPU))
		}
	}
	t.line("")
}

func (t *table) nodes(p points) {
	t.line("1,000 writes/s and 5,000 strong reads/s for each query node, hosts of %d cores:\n", typical.cores)
	t.line("| query nodes | CPU of each | leader sends, MB/s | of its network | of its questions | each node writes, MB/s |\n| --- | --- | --- | --- | --- | --- |")
	for _, n := range []int{1, 2, 10, 100, 1000} {
		u := p.plan(load{writes: 1000, strong: 5000 * float64(n)}, n, 2, typical)
		t.line("| %d | %.0f %% | %.1f | %.0f %% | %.0f %% | %.1f |", n, 100*u.queryCPU, u.sent/1e6, 100*u.network, 100*u.questions, u.diskWritten/1e6)
	}
	t.line("")
}

func (t *table) breaks(p points) {
	t.line("The most query nodes, at %.0f %% of what runs out first:\n", 100*busy)
	t.line("| writes/s | all reads eventual | 100 strong reads/s a node | 1,000 or more strong reads/s a node |\n| --- | --- | --- | --- |")
	for _, writes := range []float64{100, 1000, 5000} {
		cells := [3]string{}
		for i, strong := range []float64{0, 100, 1000} {
			n, first := p.mostQueries(writes, strong, typical)
			cells[i] = fmt.Sprintf("%d (%s)", n, first)
		}
		t.line("| %.0f | %s | %s | %s |", writes, cells[0], cells[1], cells[2])
	}
}
