package main

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

const (
	reportFile  = "benchmarks.md"
	plotsDir    = "benchmarks"
	resultsFile = plotsDir + "/results.json"
)

// A machine is where the figures come from.
type machine struct {
	cpu, kernel, commit string
	cores               int
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s", m.cpu, m.cores, m.kernel, runtime.Version())
}

func describeMachine(ctx context.Context) machine {
	m := machine{cores: runtime.NumCPU()}
	output := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	m.kernel, m.commit = output("uname", "-sr"), output("git", "rev-parse", "--short", "HEAD")
	if output("git", "status", "--porcelain", "--untracked-files=no") != "" {
		m.commit += " with changes"
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

// writeDocs writes the page and its plots to the folder.
func writeDocs(docs string, all []row, found results) error {
	if err := os.MkdirAll(filepath.Join(docs, plotsDir), 0o755); err != nil { //nolint:gosec // it is to be read
		return err
	}
	var page strings.Builder
	if err := writeReport(&page, all, found); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, reportFile), []byte(page.String()), 0o644); err != nil { //nolint:gosec // it is to be read
		return err
	}
	return writePlots(filepath.Join(docs, plotsDir), all, found)
}

// writeReport writes the page of results.
func writeReport(w io.Writer, all []row, found results) error {
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
		one, ok := found[r.name]
		if !ok {
			one.Missing = "not measured yet"
		}
		p.row(r, one)
	}
	p.text("\n")
	p.notes(all, found)
	p.text("%s", subjectsText)
	return p.err
}

var subjectsText = `## Subjects

All of them, and the programs that load them, run on the machine over loopback. wrk loads with two
threads; what is read or written is a document of about 170 bytes with a unique e-mail address.

- **` + ownName + `**: ` + "`clusterlite serve`" + `, one process with its embedded broker. A write is on
  the disk before it is acknowledged.
- **` + ownClusterName + `**: behind Nginx with the shipped ` + "`nginx.conf`" + `, on three
  brokers of Apache Kafka with three replicas.
- **` + rqliteName + `**: one node, or three with the load on the leader. A write is on the disk
  before it is acknowledged. ` + "`eventual`" + ` is compared with its level ` + "`none`" + `, ` + "`strong`" + ` with
  ` + "`linearizable`" + `, ` + "`linearizable`" + ` with ` + "`strong`" + `.
- **` + pocketBaseName + `**: its example program, built with ` + "`synchronous=FULL`" + ` so that a write is on
  the disk before it is acknowledged. **` + pocketBaseUnsyncedName + `** is the program as it
  comes, which can lose acknowledged writes when the power fails.
- **` + bareName + `**: an Echo handler that answers the same bytes and does nothing else.
- **` + naiveName + `**: an Echo handler that commits each write to SQLite on its own, synced.
- **` + rawName + `**: records of an event's size, appended to the broker of ` + "`clusterlite serve`" + `
  by Watermill's own Kafka publisher, with nothing that reads them.
- **` + smallStoreName + `** and **` + largeStoreName + `**: the same store with few and with many entities.
`

type page struct {
	w   io.Writer
	err error
}

func (p *page) text(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// provenance says where the figures come from. Rows may come from several runs.
func (p *page) provenance(all []row, found results) {
	type run struct{ date, commit, machine, command string }
	of := map[run][]string{}
	for _, r := range all {
		if one, ok := found[r.name]; ok {
			key := run{one.At.Format("2006-01-02"), one.Commit, one.Machine, one.Command}
			of[key] = append(of[key], r.name)
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

func (p *page) row(r row, one result) {
	if one.Missing != "" {
		p.text("| %s | | | %s | | | | | | |\n", r.name, one.Missing)
		return
	}
	own := one.Samples[r.subjects[0]]
	for i, name := range r.subjects {
		samples := one.Samples[name]
		if len(samples) == 0 {
			continue
		}
		cells := []string{r.name, name, r.unit, spreadOf(each(samples, value)).String(), "", "", "", "", "", ""}
		if p99 := spreadOf(each(samples, func(s sample) float64 { return s.P99 })).median; p99 > 0 {
			cells[4] = number(p99) + " ms"
		}
		if cpu := spreadOf(each(samples, func(s sample) float64 { return s.CPU })).median; cpu > 0 {
			cells[5] = number(cpu) + " us"
		}
		if i > 0 {
			ratio := spreadOf(ratios(own, samples))
			cells[6] = ratio.String()
			if t, ok := r.targets[name]; ok {
				cells[7], cells[8], cells[9] = number(t.Floor), number(t.Goal), t.reached(ratio.median, r.lower)
			}
		} else if t, ok := r.targets[""]; ok {
			cells[7], cells[8], cells[9] = number(t.Floor), number(t.Goal), t.reached(spreadOf(each(samples, value)).median, r.lower)
		}
		p.text("| %s |\n", strings.Join(cells, " | "))
	}
}

func (p *page) notes(all []row, found results) {
	for _, r := range all {
		if _, ok := found[r.name]; ok && r.note != "" {
			p.text("- %s: %s\n", r.name, r.note)
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

// number has three significant digits, and no exponent.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}
