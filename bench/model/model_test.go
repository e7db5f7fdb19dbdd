package main

import (
	"io"
	"math"
	"os"
	"strings"
	"testing"
)

// The model must predict the processor time of each write within a fifth, also for points that
// it was not fitted to. It must predict the throughput of reads, which varies more, within a
// quarter.
const writesTolerance, readsTolerance = 0.20, 0.25

func measuredPoints(t *testing.T) points {
	t.Helper()
	p, err := readPoints("points.json")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReproducesMeasuredWrites(t *testing.T) {
	p := measuredPoints(t)
	fitted, held := chosen(p.Posts)
	if len(fitted) < 3 || len(held) < 2 {
		t.Fatalf("got %d points to fit and %d to predict, want at least 3 and 2", len(fitted), len(held))
	}
	c := fit(fitted)
	for _, one := range p.Posts {
		if got := c.cpu(float64(one.Connections)); math.Abs(got/one.CPU-1) > writesTolerance {
			t.Errorf("%d connections: got %.0f us a write from the model, want about the measured %.0f", one.Connections, got, one.CPU)
		}
	}
}

// No measured throughput can exceed what the processors allow.
func TestMeasuredWritesFitIntoTheProcessors(t *testing.T) {
	p := measuredPoints(t)
	for _, one := range p.Posts {
		if used := one.PerSecond * one.CPU / 1e6; used > 1.1*float64(p.Cores) {
			t.Errorf("%d connections: got %.0f writes/s of %.0f us, which use %.1f cores, want at most about %d", one.Connections, one.PerSecond, one.CPU, used, p.Cores)
		}
	}
}

func TestReproducesMeasuredReads(t *testing.T) {
	p := measuredPoints(t)
	for name, r := range p.Reads {
		if r.PerSecond == 0 {
			continue // only the processor time was measured
		}
		if got := p.most(r.CPU); math.Abs(got/r.PerSecond-1) > readsTolerance {
			t.Errorf("%s: got %.0f reads/s from the model, want about the measured %.0f", name, got, r.PerSecond)
		}
	}
}

// A single client pays for whole batches. With very many clients, each pays only for its own
// item.
func TestBatchCostAtItsEnds(t *testing.T) {
	c := batchCost{Batch: 900, Item: 100}
	if got := c.cpu(1); got != 1000 {
		t.Errorf("one client: got %v us, want 1000", got)
	}
	if got := c.cpu(1e6); got > 101 {
		t.Errorf("very many clients: got %v us, want 100", got)
	}
}

func TestFitFindsTheModel(t *testing.T) {
	want := batchCost{Batch: 800, Item: 150}
	var made []point
	for _, n := range []int{1, 4, 16, 64, 256} {
		made = append(made, point{Connections: n, CPU: want.cpu(float64(n))})
	}
	if got := fit(made); math.Abs(got.Batch-want.Batch) > 0.01 || math.Abs(got.Item-want.Item) > 0.01 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPlan(t *testing.T) {
	p := points{Reads: map[string]point{"eventual": {CPU: 50}, "strong": {CPU: 80}}, Apply: 100, LogBytes: 500, WALBytes: 3000, FileBytes: 500}
	h := hardware{cores: 2, network: 1e8, questions: 1000, roundTrip: 0.01}
	got := p.plan(load{writes: 1000, eventual: 4000, strong: 1000}, 10, 2, h)
	// Each node has 400 eventual reads, 100 strong reads, and all writes.
	if want := (400*50.0 + 100*80 + 1000*100) / 1e6 / 2; math.Abs(got.queryCPU-want) > 1e-9 {
		t.Errorf("CPU: got %v, want %v", got.queryCPU, want)
	}
	if want := 1000.0 * 500 * (10 + 2 + 2); got.sent != want || got.network != want/1e8 {
		t.Errorf("network: got %v, %v, want %v", got.sent, got.network, want)
	}
	if want := 1.0; got.questions != want { // 100 per second from each of 10 nodes
		t.Errorf("questions: got %v, want %v", got.questions, want)
	}
	if n, first := p.maxQueries(1000, 100, h); n != 7 || first != "questions to the leading broker" {
		t.Errorf("got %d nodes, by %s, want 7 by questions", n, first)
	}
}

// Results of the benchmarks replace the points that they contain, and no others.
func TestTake(t *testing.T) {
	samples := func(value, cpu float64) []struct{ Value, CPU float64 } {
		return []struct{ Value, CPU float64 }{{value, cpu}}
	}
	p := points{WALBytes: 7}
	err := p.take(map[string]benchResult{
		rowPosts:             {Commit: "abc", Samples: map[string][]struct{ Value, CPU float64 }{"64 connections": samples(500, 5), "2 connections": samples(100, 9)}},
		rowRead + "eventual": {Samples: map[string][]struct{ Value, CPU float64 }{own: samples(20_000, 50), bare: samples(50_000, 20)}},
	})
	if err != nil || len(p.Posts) != 2 || p.Posts[0] != (point{2, 100, 9}) || p.Bare.PerSecond != 50_000 || p.Reads["eventual"].CPU != 50 || p.WALBytes != 7 || p.Commit != "abc" {
		t.Errorf("got %+v, %v, want the points of the results", p, err)
	}
}

func TestRun(t *testing.T) {
	if err := run([]string{"-root", "../.."}, io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
}

// The tables of the page are those that the model prints for the points in the repository.
func TestThePageHasTheTables(t *testing.T) {
	page, err := os.ReadFile("../../docs/explanation/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := run([]string{"-root", "../.."}, &printed, io.Discard); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(printed.String()) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if rows++; !strings.Contains(string(page), line) {
			t.Errorf("docs/explanation/scaling.md lacks the row %s", line)
		}
	}
	if rows < 20 {
		t.Errorf("got %d rows, want all tables", rows)
	}
}
