package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestSmallHeapsAreCollectedLessOften(t *testing.T) {
	for _, test := range []struct {
		live uint64
		want int
	}{{0, 1000}, {1 << 20, 1000}, {8 << 20, 400}, {16 << 20, 200}, {minGrowth, 100}, {1 << 30, 100}} {
		if got := gcPercent(test.live); got != test.want {
			t.Errorf("%d live bytes: got %d %%, want %d %%", test.live, got, test.want)
		}
	}
}

func TestGOGCDecides(t *testing.T) {
	t.Setenv("GOGC", "55")
	before := debug.SetGCPercent(55)
	defer debug.SetGCPercent(before)
	paceCollections()
	if got := debug.SetGCPercent(55); got != 55 {
		t.Errorf("got %d %%, want what GOGC says, 55 %%", got)
	}
}

func TestTheCollectorIsPaced(t *testing.T) {
	if err := os.Unsetenv("GOGC"); err != nil {
		t.Fatal(err)
	}
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC() // an earlier run of this test may have left its heap
	paceCollections()
	if got := percentNow(); got <= 100 {
		t.Errorf("got %d %% for the small heap of this test, want more than 100 %%", got)
	}
	held := make([]byte, 2*minGrowth)
	for deadline := time.Now().Add(10 * time.Second); percentNow() != 100; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("got %d %% for a heap of %d bytes, want 100 %%", percentNow(), liveHeap())
		}
	}
	runtime.KeepAlive(held)
}

func percentNow() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
