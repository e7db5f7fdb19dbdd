package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	out := "Running 2s test\nBENCH {\"requests\":2000,\"microseconds\":2000000,\"p50\":1500,\"p99\":9000,\"failed\":0}\n"
	got, err := parseWrk(out)
	if want := (measurement{perSecond: 1000, p50: 1500 * time.Microsecond, p99: 9 * time.Millisecond}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "Running 2s test\n", `BENCH {"requests":0,"microseconds":1,"p50":0,"p99":0,"failed":0}`} {
		if got, err := parseWrk(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

// Each subject that a benchmark names can carry out its workload.
func TestSubjectsHaveTheirLoads(t *testing.T) {
	subjects := map[string]subject{
		ownName: &clusterLite{ids: []string{"1"}}, rqliteName: &rqlite{ids: []string{"1"}}, pocketBaseName: &pocketBase{ids: []string{"1"}},
		bareName: &limits{which: bareName}, naiveName: &limits{which: naiveName},
	}
	for _, b := range benchmarks {
		for _, name := range append([]string{ownName}, b.against...) {
			if l, ok := subjects[name].load(b.work); !ok || l.method == "" || len(l.targets) == 0 {
				t.Errorf("%s: %s has no load: got %+v", b.name, name, l)
			}
		}
	}
}

func TestReport(t *testing.T) {
	of := func(rates ...float64) (all []measurement) {
		for _, r := range rates {
			all = append(all, measurement{perSecond: r, p99: time.Millisecond})
		}
		return all
	}
	b := benchmarks[0]
	found := map[string][]measurement{ownName: of(200, 400, 300)}
	for _, name := range b.against {
		found[name] = of(100, 100, 100)
	}
	var page strings.Builder
	if err := writeReport(&page, machine{cpu: "a CPU", cores: 2}, options{rounds: 3}, []result{{b, found}}); err != nil {
		t.Fatal(err)
	}
	if want := "| 100 (100 to 100) | 1ms | 3.00 (2.00 to 4.00) |"; !strings.Contains(page.String(), want) {
		t.Errorf("got %s\nwant in it %s", page.String(), want)
	}
}
