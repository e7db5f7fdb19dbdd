package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// These tests use the clock of a synctest bubble, so no test really waits.

func TestWhatIsOverSoonSaysNothing(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			task := start(&out, "replay", 10, "events", terminal)
			time.Sleep(900 * time.Millisecond)
			task.Set(10)
			task.Done()
			task.Done()
			if out.Len() > 0 {
				t.Errorf("got %q, want no output", out.String())
			}
		})
	}
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		task := start(&out, "replay", 50_000, "events", false)
		time.Sleep(time.Second / 4) // between the ticks
		for i := range int64(12) {
			time.Sleep(time.Second)
			task.Set((i + 1) * 2000)
		}
		task.Done()
		want := `replay: 0 of 50,000 events
replay: 10,000 of 50,000 events, 1,818/s, 22s left
replay: 20,000 of 50,000 events, 1,904/s, 16s left
replay: 24,000 of 50,000 events in 12s, 1,959/s
`
		if got := out.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestTotalsThatAreUnknownAndGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		task := start(&out, "read", 0, Bytes, false)
		task.Set(1 << 20)
		time.Sleep(2 * time.Second)
		task.Total(3 << 20)
		task.Set(2 << 20)
		time.Sleep(5 * time.Second)
		task.Total(4 << 30)
		time.Sleep(5 * time.Second)
		task.Done()
		lines := strings.Split(out.String(), "\n")
		for i, want := range []string{"read: 1.0 MiB", "read: 2.0 MiB of 3.0 MiB, ", "read: 2.0 MiB of 4.0 GiB, ", "read: 2.0 MiB of 4.0 GiB in 12s, 170.7 KiB/s"} {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("line %d is %q, want %q", i, lines[i], want)
			}
		}
	})
}

func TestBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		task := start(&out, "replay", 0, "events", true)
		time.Sleep(2 * time.Second)
		task.Set(500)
		task.Total(1000)
		time.Sleep(2 * time.Second)
		task.Set(2000) // before the total grows
		time.Sleep(2 * time.Second)
		task.Total(3000)
		time.Sleep(4 * time.Second)
		task.Done()
		said := out.String()
		for _, part := range []string{"replay", "0 events", "500 of 1,000 events", "[====", "/s", " left", "2,000 of 1,000 events", "2,000 of 3,000 events in 10s, 200/s"} {
			if !strings.Contains(said, part) {
				t.Errorf("want %q in:\n%s", part, said)
			}
		}
		if !strings.HasSuffix(said, "\n") {
			t.Error("got output without a newline at the end, want one")
		}
	})
}

func TestRate(t *testing.T) {
	var r rate
	at := time.Unix(0, 0)
	if r.add(at, 5); r.perSecond() != 0 {
		t.Error("got a rate from one sample, want 0")
	}
	for i := range int64(100) { // a hundred seconds at 10/s, then a hundred at 1/s
		r.add(at.Add(time.Duration(i+1)*time.Second), 10*i)
	}
	if got := r.perSecond(); got < 9.9 || got > 10.1 {
		t.Errorf("got %f, want about 10", got)
	}
	for i := range int64(100) {
		r.add(at.Add(time.Duration(i+101)*time.Second), 1000+i)
	}
	if got := r.perSecond(); got < 0.9 || got > 1.1 {
		t.Errorf("got %f, want about 1: old samples must not count", got)
	}
}

func TestQuantities(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1_234_567: "1,234,567", -100_000: "-100,000", -1: "-1"} {
		if got := quantity(n, "events"); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 19: "1.5 MiB", 1 << 62: "4.0 EiB"} {
		if got := quantity(n, Bytes); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for seconds, want := range map[float64]string{0.2: "0s", 9: "9s", 130: "2m10s", 3900: "1h5m", 1e30: "8760h0m"} {
		if got := duration(seconds); got != want {
			t.Errorf("%f: got %s, want %s", seconds, got, want)
		}
	}
}
