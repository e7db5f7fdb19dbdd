package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/bench/report"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

func TestRows(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows() {
		if names[r.name] {
			t.Errorf("got two rows called %q: the results of one would replace the other's", r.name)
		}
		names[r.name] = true
		if r.unit == "" || len(r.subjects) == 0 || r.run == nil {
			t.Errorf("%s: got %+v, want unit, subjects and run", r.name, r)
		}
		for against, target := range r.targets {
			if against != "" && !strings.Contains(strings.Join(r.subjects[1:], "|"), against) {
				t.Errorf("%s: got a target against %q, want one against a subject that it measures", r.name, against)
			}
			if r.lower != (target.Goal < target.Floor) {
				t.Errorf("%s: got floor %v and goal %v, want a goal beyond the floor", r.name, target.Floor, target.Goal)
			}
		}
	}
	if got := chosen(rows(), regexp.MustCompile("(?i)post, 64"), false); len(got) != 1 {
		t.Errorf("got %d rows for POST, 64, want 1", len(got))
	}
	for _, r := range chosen(rows(), regexp.MustCompile("."), true) {
		if r.slow {
			t.Errorf("got the slow row %s in a quick run, want only fast ones", r.name)
		}
	}
}

// fake returns a row whose first subject gets these values and whose second always gets 100.
func fake(name string, values ...float64) row {
	return row{
		name: name, unit: requestsPerSecond, subjects: []string{subjects.ClusterLiteName, subjects.RqliteName}, targets: map[string]target{subjects.RqliteName: {2, 5}},
		run: func(_ *bench, _ context.Context, record recordFunc) error {
			for _, v := range values {
				record(subjects.ClusterLiteName, sample{Value: v, P99: 1})
				record(subjects.RqliteName, sample{Value: 100, P99: 2.5, CPU: 70})
			}
			return nil
		},
	}
}

func measured(t *testing.T, o options, all ...row) results {
	t.Helper()
	b := &bench{options: o, dir: t.TempDir(), log: io.Discard}
	found, err := b.run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestReport(t *testing.T) {
	lacking := row{name: "a row that needs a tool", unit: "ms", subjects: []string{subjects.ClusterLiteName}, missing: func() string { return "not measured: no tool" }}
	all, dir := []row{fake("POST", 200, 400, 300), lacking, fake("a row of a later run")}, t.TempDir()
	found := measured(t, options{budget: time.Hour, command: "make bench"}, all[:2]...)
	if err := report.WriteDocs(dir, shown(all), found, subjectsText); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, report.File))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| POST | ClusterLite | requests/s | 300 (200 to 400) | 1 ms |  |  |  |  |  |",
		"| POST | rqlite 8.36.0 | requests/s | 100 | 2.5 ms | 70 us | 3 (2 to 4) | 2 | 5 | floor |",
		"| a row that needs a tool | | | not measured: no tool |", "| a row of a later run | | | not measured yet |",
		"`make bench`",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("got %s\nwant it to contain %s", page, want)
		}
	}
	for _, plot := range []string{"throughput.svg", "ratios.svg"} {
		svg, err := os.ReadFile(filepath.Join(dir, report.PlotsDir, plot))
		if err != nil || !strings.Contains(string(svg), "POST - rqlite 8.36.0") {
			t.Errorf("%s: got %v, %d bytes, want a plot with the subject's name", plot, err, len(svg))
		}
	}
}

// A run of some rows keeps the results of earlier runs for the others.
func TestPartialRunKeepsTheOtherRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a new folder", "results.json")
	o := options{budget: time.Hour}
	if err := measured(t, o, fake("one", 100), fake("two", 100), fake("three", 100)).Write(path); err != nil {
		t.Fatal(err)
	}
	before, err := report.ReadResults(path)
	if err != nil {
		t.Fatal(err)
	}
	lacking := fake("three")
	lacking.missing = func() string { return "not measured: no tool" }
	after := before.Merged(measured(t, o, fake("two", 700), lacking))
	for name, want := range map[string]float64{"one": 100, "two": 700, "three": 100} {
		if got := after[name].Samples[subjects.ClusterLiteName]; len(got) != 1 || got[0].Value != want {
			t.Errorf("%s: got %+v, want %v", name, got, want)
		}
	}
}

func TestBudget(t *testing.T) {
	found := measured(t, options{budget: -1}, fake("one", 100))
	if got := found["one"]; got.Missing == "" || got.Samples != nil {
		t.Errorf("got %+v, want a row that was not measured", got)
	}
}

// A row that leaves out a subject, or measures another, is a programming error.
func TestIncompleteRows(t *testing.T) {
	r := fake("one", 100)
	for _, names := range [][]string{{subjects.ClusterLiteName}, {subjects.ClusterLiteName, subjects.RqliteName, subjects.NaiveName}} {
		r.subjects = names
		b := &bench{options: options{budget: time.Hour}, log: io.Discard}
		if found, err := b.run(t.Context(), []row{r}); err == nil {
			t.Errorf("%v: got %+v, want an error", names, found)
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := parse([]string{"-rounds", "2", "-only", "POST, 64"}, io.Discard)
	if err != nil || o.rounds != 2 || !o.only.MatchString("post, 64 connections") {
		t.Errorf("got %+v, %v, want 2 rounds of the named row", o, err)
	}
	for _, bad := range [][]string{{"-rounds", "0"}, {"-only", "("}, {"-duration", "1ms"}, {"-render"}} {
		if o, err := parse(bad, io.Discard); err == nil {
			t.Errorf("%v: got %+v, want an error", bad, o)
		}
	}
}

func TestSumWAL(t *testing.T) {
	trace := `100 pwrite64(9</data/projection.db-wal>, ""..., 24, 0) = 24
100 pwrite64(9</data/projection.db-wal>, ""..., 4096, 24 <unfinished ...>
101 pwrite64(8</data/projection.db>, ""..., 4096, 0) = 4096
101 pwrite64(8</data/projection.db>, ""..., 4096, 0 <unfinished ...>
100 <... pwrite64 resumed>) = 4096
101 <... pwrite64 resumed>) = 4096
`
	if got, err := sumWAL(strings.NewReader(trace)); err != nil || got != 4120 {
		t.Errorf("got %d, %v, want 4120", got, err)
	}
}
