package load

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	out := "Running 2s test\nBENCH {\"requests\":2001,\"microseconds\":2000000,\"p50\":1500,\"p99\":9000,\"failed\":1}\n"
	got, err := parseWrk(out)
	if want := (Measurement{PerSecond: 1000, P50: 1500 * time.Microsecond, P99: 9 * time.Millisecond, Requests: 2000, Failed: 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "Running 2s test\n", `BENCH {"requests":0,"microseconds":1,"p50":0,"p99":0,"failed":0}`} {
		if got, err := parseWrk(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

// The latency of an operation counts from the time when it was due. An operation that stalls
// delays all that wait for its worker.
func TestOpenLoopChargesForStalls(t *testing.T) {
	l := OpenLoop{PerSecond: 1000, Workers: 1, Do: func(_ context.Context, n int) error {
		if n == 0 {
			time.Sleep(50 * time.Millisecond) // the stall itself
		}
		return nil
	}}
	latencies, err := l.Run(t.Context(), 50*time.Millisecond)
	if err != nil || len(latencies) != 50 {
		t.Fatalf("got %d latencies, %v, want 50", len(latencies), err)
	}
	if got := Percentile(latencies, 0.5); got < 20*time.Millisecond {
		t.Errorf("got a median of %s, want that of operations that wait behind a stall of 50 ms", got)
	}
	wanted := errors.New("refused")
	l.Do = func(context.Context, int) error { return wanted }
	if _, err := l.Run(t.Context(), 50*time.Millisecond); !errors.Is(err, wanted) {
		t.Errorf("got %v, want %v", err, wanted)
	}
}

func TestPercentile(t *testing.T) {
	sorted := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for part, want := range map[float64]time.Duration{0: 1, 0.5: 5, 0.99: 10, 1: 10} {
		if got := Percentile(sorted, part); got != want {
			t.Errorf("%v: got %d, want %d", part, got, want)
		}
	}
	if got := Percentile(nil, 0.5); got != 0 {
		t.Errorf("got %d for an empty list, want 0", got)
	}
}
