package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Tally counts the results of one kind of fault.
type Tally struct {
	// Injected is how often the fault was injected.
	Injected int
	// Operations counts the operations with an outcome, and Unknown those without. Refused
	// counts requests whose answer says that nothing was done.
	Operations, Unknown, Refused int
	Violations                   int
}

func (t *Tally) add(other Tally) {
	t.Injected += other.Injected
	t.Operations += other.Operations
	t.Unknown += other.Unknown
	t.Refused += other.Refused
	t.Violations += other.Violations
}

// A Report is the result of a run.
type Report struct {
	Seed uint64
	Took time.Duration
	// Tallies are the tallies by the name of the fault.
	Tallies map[string]*Tally
}

func (r *Report) add(fault string, t Tally) {
	if r.Tallies == nil {
		r.Tallies = map[string]*Tally{}
	}
	if r.Tallies[fault] == nil {
		r.Tallies[fault] = &Tally{}
	}
	r.Tallies[fault].add(t)
}

// Markdown returns the report as a Markdown table.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d, %s.\n\n", r.Seed, r.Took.Round(time.Second))
	row := func(cells ...any) { fmt.Fprintf(&b, "| %-46v | %8v | %10v | %7v | %7v | %10v |\n", cells...) }
	row("fault", "injected", "operations", "unknown", "refused", "violations")
	fmt.Fprintln(&b, "| --- | --: | --: | --: | --: | --: |")
	var sum Tally
	var names []string
	for name, t := range r.Tallies {
		names = append(names, name)
		sum.add(*t)
	}
	slices.Sort(names)
	for _, name := range names {
		t := r.Tallies[name]
		row(name, t.Injected, t.Operations, t.Unknown, t.Refused, t.Violations)
	}
	row("all", sum.Injected, sum.Operations, sum.Unknown, sum.Refused, sum.Violations)
	return b.String()
}
