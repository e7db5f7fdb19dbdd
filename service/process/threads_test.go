package process

import (
	"os"
	"runtime"
	"testing"
)

// withThreads calls do with a number of threads, and restores the number.
func withThreads(t *testing.T, threads int, do func()) {
	t.Helper()
	before := runtime.GOMAXPROCS(threads)
	defer runtime.GOMAXPROCS(before)
	do()
}

func TestThreadsThatAreBlockedTakeNoCPUFromOthers(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // restores it
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		t.Fatal(err)
	}
	withThreads(t, runtime.NumCPU(), func() {
		allowForBlockedThreads()
		if got, want := runtime.GOMAXPROCS(0), runtime.NumCPU()+blockedThreads; got != want {
			t.Errorf("got %d threads, want %d", got, want)
		}
	})
	limit := runtime.NumCPU() + 2 // differs from the number of CPUs, as a container's limit does
	withThreads(t, limit, func() {
		allowForBlockedThreads()
		if got := runtime.GOMAXPROCS(0); got != limit {
			t.Errorf("got %d threads with a limit, want %d", got, limit)
		}
	})
}

func TestGOMAXPROCSDecides(t *testing.T) {
	t.Setenv("GOMAXPROCS", "1")
	withThreads(t, runtime.NumCPU(), func() {
		allowForBlockedThreads()
		if got, want := runtime.GOMAXPROCS(0), runtime.NumCPU(); got != want {
			t.Errorf("got %d threads, want %d as before", got, want)
		}
	})
}
