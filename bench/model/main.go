package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	return os.WriteFile(path, append(b, '\n'), 0o644) //nolint:gosec // the file is in the repository
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
	c := fit(fitted)
	t.line("Writes to one process: a batch costs %.0f us of processor time, and each write in it %.0f us.\n", c.Batch, c.Item)
	t.line("| connections | CPU of a write, measured, us | model, us | | at most, writes/s |\n| --- | --- | --- | --- | --- |")
	for _, one := range p.Posts {
		use := "fitted"
		if slices.Contains(held, one) {
			use = "predicted"
		}
		cpu := c.cpu(float64(one.Connections))
		t.line("| %d | %.0f | %.0f | %s | %.0f |", one.Connections, one.CPU, cpu, use, p.most(cpu))
	}
	t.line("")
}

func (t *table) reads(p points) {
	t.line("Reads, with a client that costs %.0f us a request on the same cores:\n", p.clientCost())
	t.line("| read | CPU, us | measured, reads/s | model, reads/s |\n| --- | --- | --- | --- |")
	for _, name := range []string{"eventual", "strong", "list"} {
		if r, ok := p.Reads[name]; ok {
			measured := "not measured"
			if r.PerSecond > 0 {
				measured = fmt.Sprintf("%.0f", r.PerSecond)
			}
			t.line("| %s | %.0f | %s | %.0f |", name, r.CPU, measured, p.most(r.CPU))
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
			n, first := p.maxQueries(writes, strong, typical)
			cells[i] = fmt.Sprintf("%d (%s)", n, first)
		}
		t.line("| %.0f | %s | %s | %s |", writes, cells[0], cells[1], cells[2])
	}
}
