package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
)

// A row is one comparison of the report: its subjects do the same work side by side, in
// rounds. Add one to [rows] to have it measured.
type row struct {
	name string
	// unit is that of the values: "requests/s", "ms".
	unit string
	// lower is true if a smaller value is better.
	lower bool
	// subjects are compared; the first is ClusterLite, or the case that the others are the
	// measure of.
	subjects []string
	// targets are what the first subject must reach, by the subject that it is held
	// against. The ratio is always the first subject's value divided by the other's. The
	// target for "" is one for the value itself.
	targets map[string]target
	// slow rows are left out of a quick run.
	slow bool
	// missing reports what this machine lacks for the row; nil if the row needs nothing.
	missing func() string
	// note explains the row in the report; optional.
	note string
	// run is a method of the bench, or a function like one. It measures
	// all subjects, b.rounds times each, in turn, and records what it finds.
	run func(b *bench, ctx context.Context, record recordFunc) error
}

// A target is a ratio or a value that is to be reached, and one that is wanted.
type target struct {
	Floor, Goal float64
}

// A sample is what one round found about one subject.
type sample struct {
	Value float64 `json:"value"`
	// P50 and P99 are latencies in milliseconds; zero if the row has none.
	P50 float64 `json:"p50,omitempty"`
	P99 float64 `json:"p99,omitempty"`
	// CPU is the processor time of all processes of the subject for one request, in
	// microseconds; zero if it was not measured.
	CPU float64 `json:"cpu,omitempty"`
}

// recordFunc takes a sample of a subject. It is called from one goroutine.
type recordFunc func(subject string, s sample)

// errMissing: this machine lacks something that a row needs.
var errMissing = errors.New("not measured")

// rows are all rows, in the order of the report.
func rows() []row {
	return slices.Concat(readRows(), writeRows(), clusterRows(), latencyRows(), importRows(), largeRows(), fileRows(), modelRows())
}

// chosen are the rows whose name matches; without the slow ones if it is a quick run.
func chosen(all []row, only *regexp.Regexp, quick bool) []row {
	return slices.DeleteFunc(slices.Clone(all), func(r row) bool {
		return !only.MatchString(r.name) || quick && r.slow
	})
}
