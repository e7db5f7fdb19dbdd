// Package report stores the results of benchmarks and writes the page and the plots about them.
// The program bench imports it.
package report

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// These are the files of the report, in the folder of the documentation.
const (
	File        = "benchmarks.md"
	PlotsDir    = "benchmarks"
	ResultsFile = PlotsDir + "/results.json"
)

// A Machine describes where the results were measured.
type Machine struct {
	// Commit is the commit of the measured code.
	Commit string

	cpu, kernel string
	cores       int
}

// String describes the machine and the Go version in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s", m.cpu, m.cores, m.kernel, runtime.Version())
}

// Describe returns the machine that runs the program.
func Describe(ctx context.Context) Machine {
	m := Machine{cores: runtime.NumCPU()}
	output := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	m.kernel, m.Commit = output("uname", "-sr"), output("git", "rev-parse", "--short", "HEAD")
	if output("git", "status", "--porcelain", "--untracked-files=no") != "" {
		m.Commit += " with changes"
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	return m
}

// WriteDocs writes the page and its plots to the folder docs. subjects is a text about the
// subjects, for the end of the page.
func WriteDocs(docs string, all []Row, found Results, subjects string) error {
	if err := os.MkdirAll(filepath.Join(docs, PlotsDir), 0o755); err != nil { //nolint:gosec // the file is public
		return err
	}
	var page strings.Builder
	if err := Write(&page, all, found, subjects); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, File), []byte(page.String()), 0o644); err != nil { //nolint:gosec // the file is public
		return err
	}
	return writePlots(filepath.Join(docs, PlotsDir), all, found)
}

// Write writes the page.
func Write(w io.Writer, all []Row, found Results, subjects string) error {
	p := &page{w: w}
	p.text(`# Benchmarks

` + "`make bench`" + ` writes this page; do not edit it. Each row compares subjects side by side on one
machine: every round measures each of them once, one after the other. The value is the median of
the rounds, with the lowest and the highest in brackets. The ratio is that of the first subject to
the other one in the same round. Only ratios carry over to another machine. "Floor" is what the
first subject must reach, "goal" is what is wanted, and the last column says which of them the
median reaches.

`)
	p.provenance(all, found)
	if plotted(all, found) {
		p.text("![Requests per second](benchmarks/throughput.svg)\n\n![Ratios to the other subjects, with their targets](benchmarks/ratios.svg)\n\n")
	}
	p.text("| work | subject | unit | value | p99 | CPU of a request | ratio | floor | goal | reached |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range all {
		one, ok := found[r.Name]
		if !ok {
			one.Missing = "not measured yet"
		}
		p.row(r, one)
	}
	p.text("\n")
	p.notes(all, found)
	p.text("%s", subjects)
	return p.err
}

type page struct {
	w   io.Writer
	err error
}

func (p *page) text(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// provenance describes where the results were measured. Rows may come from several runs.
func (p *page) provenance(all []Row, found Results) {
	type run struct{ date, commit, machine, command string }
	of := map[run][]string{}
	for _, r := range all {
		if one, ok := found[r.Name]; ok {
			key := run{one.At.Format("2006-01-02"), one.Commit, one.Machine, one.Command}
			of[key] = append(of[key], r.Name)
		}
	}
	keys := make([]run, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b run) int { return cmp.Compare(len(of[b]), len(of[a])) })
	for i, key := range keys {
		p.text("%s, commit %s, `%s`, on %s", key.date, key.commit, key.command, key.machine)
		if i > 0 {
			p.text(": %s", strings.Join(of[key], "; "))
		}
		p.text(".\n\n")
	}
}

func (p *page) row(r Row, one Result) {
	if one.Missing != "" {
		p.text("| %s | | | %s | | | | | | |\n", r.Name, one.Missing)
		return
	}
	own := one.Samples[r.Subjects[0]]
	for i, name := range r.Subjects {
		samples := one.Samples[name]
		if len(samples) == 0 {
			continue
		}
		cells := []string{r.Name, name, r.Unit, spreadOf(each(samples, value)).String(), "", "", "", "", "", ""}
		if p99 := spreadOf(each(samples, func(s Sample) float64 { return s.P99 })).median; p99 > 0 {
			cells[4] = number(p99) + " ms"
		}
		if cpu := spreadOf(each(samples, func(s Sample) float64 { return s.CPU })).median; cpu > 0 {
			cells[5] = number(cpu) + " us"
		}
		if i > 0 {
			ratio := spreadOf(ratios(own, samples))
			cells[6] = ratio.String()
			if t, ok := r.Targets[name]; ok {
				cells[7], cells[8], cells[9] = number(t.Floor), number(t.Goal), t.Reached(ratio.median, r.Lower)
			}
		} else if t, ok := r.Targets[""]; ok {
			cells[7], cells[8], cells[9] = number(t.Floor), number(t.Goal), t.Reached(spreadOf(each(samples, value)).median, r.Lower)
		}
		p.text("| %s |\n", strings.Join(cells, " | "))
	}
}

func (p *page) notes(all []Row, found Results) {
	for _, r := range all {
		if _, ok := found[r.Name]; ok && r.Note != "" {
			p.text("- %s: %s\n", r.Name, r.Note)
		}
	}
	p.text("\n")
}

func (s spread) String() string {
	if s.low == s.high {
		return number(s.median)
	}
	return fmt.Sprintf("%s (%s to %s)", number(s.median), number(s.low), number(s.high))
}

// number formats a value with three significant digits and without an exponent.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}
