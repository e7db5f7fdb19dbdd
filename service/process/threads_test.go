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

func TestOneCPUGetsTwoThreads(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // restores it
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		t.Fatal(err)
	}
	for before, want := range map[int]int{1: minThreads, 2: 2, 5: 5} {
		withThreads(t, before, func() {
			ensureThreads()
			if got := runtime.GOMAXPROCS(0); got != want {
				t.Errorf("got %d threads where Go chose %d, want %d", got, before, want)
			}
		})
	}
}

func TestGOMAXPROCSDecides(t *testing.T) {
	t.Setenv("GOMAXPROCS", "1")
	withThreads(t, 1, func() {
		ensureThreads()
		if got := runtime.GOMAXPROCS(0); got != 1 {
			t.Errorf("got %d threads, want 1 as GOMAXPROCS says", got)
		}
	})
}
