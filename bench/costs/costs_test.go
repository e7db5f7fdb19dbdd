package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

const output = `goos: linux
pkg: example.com/events
BenchmarkMarshal-2          2000   8500 ns/op   2297 B/op   38 allocs/op
BenchmarkGet/list_of_20-2   2000   118944 ns/op   3000 prepared/1000op   30799 B/op   232 allocs/op
PASS
`

func parsed(t *testing.T) map[key]float64 {
	t.Helper()
	measured := map[key]float64{}
	if err := parse("events", []byte(output), measured); err != nil {
		t.Fatal(err)
	}
	return measured
}

func TestParse(t *testing.T) {
	measured := parsed(t)
	for k, want := range map[key]float64{
		{"events", "Marshal", "allocs/op"}: 38, {"events", "Get/list_of_20", "allocs/op"}: 232, {"events", "Get/list_of_20", "prepared/1000op"}: 3000,
	} {
		if got, ok := measured[k]; !ok || got != want {
			t.Errorf("%v: got %v, want %v", k, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for table, want := range map[string]string{
		"events Marshal allocs/op 38": "",
		"events Marshal allocs/op 37": "costs-update",
		"events Gone allocs/op 37":    "still exist",
		"events Marshal allocs/op 99\nevents Get/list_of_20 prepared/1000op 2999":      "1 costs",
		"# a comment\n\nevents Marshal allocs/op 38\nevents Get/list_of_20 B/op 40000": "",
	} {
		limits, err := parseLimits(table)
		if err != nil {
			t.Fatal(err)
		}
		err = check(io.Discard, limits, parsed(t))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", table, err, want)
		}
	}
}

func TestBadTables(t *testing.T) {
	for _, bad := range []string{"events Marshal allocs/op", "events Marshal allocs/op many", "events M allocs/op 1\nevents M allocs/op 2"} {
		if got, err := parseLimits(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

// A limit that is written after a measurement passes on the same measurement.
func TestUpdate(t *testing.T) {
	text := updated("# a comment\nevents Marshal allocs/op 1\nevents Get/list_of_20 prepared/1000op 7\n", parsed(t))
	if !strings.HasPrefix(text, "# a comment\n") {
		t.Errorf("got %q, want it to keep its comment", text)
	}
	limits, err := parseLimits(text)
	if err != nil || len(limits) != 2 || limits[0].most != 40 {
		t.Fatalf("got %v, %v, want two limits, the first of 40", limits, err)
	}
	if err := check(io.Discard, limits, parsed(t)); err != nil {
		t.Error(err)
	}
	if got := allowed("allocs/op", 0); got != 0 {
		t.Errorf("got %v allowed for a cost of 0, want 0", got)
	}
}

func TestTheTableCanBeRead(t *testing.T) {
	text, err := os.ReadFile("limits.txt")
	if err != nil {
		t.Fatal(err)
	}
	if limits, err := parseLimits(string(text)); err != nil || len(limits) == 0 {
		t.Errorf("got %v, %v, want limits", limits, err)
	}
}
