package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A machine is where the figures come from.
type machine struct {
	cpu, kernel, commit string
	cores               int
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

// spread sums up the rounds of one subject.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	middle := sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		middle = (sorted[len(sorted)/2-1] + middle) / 2
	}
	return spread{middle, sorted[0], sorted[len(sorted)-1]}
}

func rates(found []measurement) (all []float64) {
	for _, m := range found {
		all = append(all, m.perSecond)
	}
	return all
}

func medianP99(found []measurement) time.Duration {
	sorted := slices.SortedFunc(slices.Values(found), func(a, b measurement) int { return cmp.Compare(a.p99, b.p99) })
	return sorted[len(sorted)/2].p99
}

// ratios are those of each round: what hits one round hits both sides of it.
func ratios(own, other []measurement) (all []float64) {
	for i := range own {
		all = append(all, own[i].perSecond/other[i].perSecond)
	}
	return all
}

// writeReport writes the page of results.
func writeReport(w io.Writer, m machine, o options, results []result) error {
	p := &page{w: w}
	p.line("# Benchmarks")
	p.line("")
	p.line("Written by `make bench`; do not edit it. Each row compares subjects side by side: in each of")
	p.line("%d rounds every subject starts with an empty store, gets %d entities, and is loaded for", o.rounds, o.entities)
	p.line("%s. Only the ratios mean anything on another machine. A ratio above 1 says that", o.duration)
	p.line("ClusterLite is faster; in brackets are the lowest and the highest of the rounds.")
	p.line("")
	p.line("Machine: %s, %d cores, %s, %s. ClusterLite at commit %s.", m.cpu, m.cores, m.kernel, runtime.Version(), m.commit)
	p.line("All of it, wrk too, runs on this machine over loopback.")
	p.line("")
	p.line("| work | subject | requests/s, median | p99, median | ratio of ClusterLite |")
	p.line("| --- | --- | --- | --- | --- |")
	for _, r := range results {
		for _, name := range append([]string{ownName}, r.against...) {
			ratio := ""
			if name != ownName {
				s := spreadOf(ratios(r.found[ownName], r.found[name]))
				ratio = fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.low, s.high)
			}
			s := spreadOf(rates(r.found[name]))
			p.line("| %s | %s | %.0f (%.0f to %.0f) | %s | %s |", r.name, name, s.median, s.low, s.high, medianP99(r.found[name]).Round(100*time.Microsecond), ratio)
		}
	}
	p.line("")
	p.line("What the subjects are:")
	p.line("")
	p.line("- **%s**: `clusterlite serve`, one process with its embedded broker. A write is on the", ownName)
	p.line("  disk before it is acknowledged.")
	p.line("- **%s**: one node; a write is on the disk before it is acknowledged. `eventual` is held", rqliteName)
	p.line("  against its level `none`, `strong` against `linearizable`, `linearizable` against `strong`.")
	p.line("- **%s**: its example program. It does not sync each write to the disk.", pocketBaseName)
	p.line("- **%s**: an Echo handler that answers the same bytes and does nothing else.", bareName)
	p.line("- **%s**: an Echo handler that commits each write to SQLite on its own, synced.", naiveName)
	return p.err
}

type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
