package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/bench/report"
)

func TestParseWrk(t *testing.T) {
	out := "Running 2s test\nBENCH {\"requests\":2001,\"microseconds\":2000000,\"p50\":1500,\"p99\":9000,\"failed\":1}\n"
	got, err := parseWrk(out)
	if want := (measurement{perSecond: 1000, p50: 1500 * time.Microsecond, p99: 9 * time.Millisecond, requests: 2000, failed: 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "Running 2s test\n", `BENCH {"requests":0,"microseconds":1,"p50":0,"p99":0,"failed":0}`} {
		if got, err := parseWrk(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

// Each subject of a read or write row must be able to carry out its workload.
func TestSubjectsHaveTheirLoads(t *testing.T) {
	ids := []string{"1"}
	for _, s := range []subject{&clusterLite{ids: ids}, &rqlite{ids: ids}, &pocketBase{ids: ids}} {
		for _, w := range []workload{getEventual, listEventual, create} {
			if l, ok := s.load(w); !ok || l.method == "" || len(l.targets) == 0 {
				t.Errorf("%s: got %+v, %t for %d, want a load", s.name(), l, ok, w)
			}
		}
	}
	if _, ok := (&pocketBase{ids: ids}).load(getLinearizable); ok {
		t.Error("PocketBase: got a linearizable read, which it does not offer")
	}
}

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
		name: name, unit: requestsPerSecond, subjects: []string{ownName, rqliteName}, targets: map[string]target{rqliteName: {2, 5}},
		run: func(_ *bench, _ context.Context, record recordFunc) error {
			for _, v := range values {
				record(ownName, sample{Value: v, P99: 1})
				record(rqliteName, sample{Value: 100, P99: 2.5, CPU: 70})
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
	lacking := row{name: "a row that needs a tool", unit: "ms", subjects: []string{ownName}, missing: func() string { return "not measured: no tool" }}
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
		if got := after[name].Samples[ownName]; len(got) != 1 || got[0].Value != want {
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
	for _, subjects := range [][]string{{ownName}, {ownName, rqliteName, naiveName}} {
		r.subjects = subjects
		b := &bench{options: options{budget: time.Hour}, log: io.Discard}
		if found, err := b.run(t.Context(), []row{r}); err == nil {
			t.Errorf("%v: got %+v, want an error", subjects, found)
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

// The latency of an operation counts from the time when it was due. An operation that stalls
// delays all that wait for its worker.
func TestOpenLoopChargesForStalls(t *testing.T) {
	l := openLoop{perSecond: 1000, workers: 1, do: func(_ context.Context, n int) error {
		if n == 0 {
			time.Sleep(50 * time.Millisecond) // the stall itself
		}
		return nil
	}}
	latencies, err := l.run(t.Context(), 50*time.Millisecond)
	if err != nil || len(latencies) != 50 {
		t.Fatalf("got %d latencies, %v, want 50", len(latencies), err)
	}
	if got := percentile(latencies, 0.5); got < 20*time.Millisecond {
		t.Errorf("got a median of %s, want that of operations that wait behind a stall of 50 ms", got)
	}
	wanted := errors.New("refused")
	l.do = func(context.Context, int) error { return wanted }
	if _, err := l.run(t.Context(), 50*time.Millisecond); !errors.Is(err, wanted) {
		t.Errorf("got %v, want %v", err, wanted)
	}
}

func TestPercentile(t *testing.T) {
	sorted := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for part, want := range map[float64]time.Duration{0: 1, 0.5: 5, 0.99: 10, 1: 10} {
		if got := percentile(sorted, part); got != want {
			t.Errorf("%v: got %d, want %d", part, got, want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("got %d for an empty list, want 0", got)
	}
}

func TestParseProc(t *testing.T) {
	stat := "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 1000 0 0 0 150 50 0 0 20 0 9 0 100 1000 200 18446744073709551615"
	if got, want := parseCPUTime(stat), 2*time.Second; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := parseResident("Name:\tx\nVmRSS:\t  2048 kB\n"); err != nil || got != 2048 {
		t.Errorf("got %v, %v, want 2048", got, err)
	}
	if got, err := residentMiB([]int{os.Getpid()}); err != nil || got < 1 {
		t.Errorf("got %v MiB, %v for this process, want at least 1", got, err)
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

// The shipped nginx.conf contains the lines that the cluster replaces with its own.
func TestSiteConf(t *testing.T) {
	shipped, err := os.ReadFile("../nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := siteConf(string(shipped), "/dir", "127.0.0.1:1", []string{"http://q:1", "http://q:2"}, []string{"http://c:1"})
	if err != nil || !strings.Contains(conf, "server q:1") || !strings.Contains(conf, "listen 127.0.0.1:1;") || strings.Contains(conf, "; # (site)") {
		t.Errorf("got %v and this file, want all site lines replaced\n%s", err, conf)
	}
}

// Stopping a program that started another one, as a tracer does, stops both.
func TestStopReachesWhatAProcessStarted(t *testing.T) {
	listening := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer listening.Close()
	dir := t.TempDir()
	p, err := launch(t.Context(), dir, listening.URL, nil, "sh", "-c", `sleep 300 & echo $! >pid.new; mv pid.new pid; trap "exit 0" TERM; wait`)
	if err != nil {
		t.Fatal(err)
	}
	var child int
	for deadline := time.Now().Add(time.Minute); child == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b, _ := os.ReadFile(filepath.Join(dir, "pid"))
		child, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if child == 0 {
		t.Fatal("got no second process, want the program to start one")
	}
	p.stop()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got process %d running after the program that started it, want it stopped", child)
		}
	}
}
