package process

import (
	"os"
	"runtime"
)

// minThreads is the minimum number of threads that Go may run at a time. Go counts a thread in C
// code or in a system call as running until its monitor sees that it is not. With one thread, nothing
// else would run meanwhile: neither requests nor the worker, while the log is synced.
//
// It is also Go's own minimum where a limit of the container is below the number of CPUs. See
// docs/explanation/performance.md for what more threads cost.
const minThreads = 2

// ensureThreads lets Go run minThreads on a machine with one CPU. It does nothing if GOMAXPROCS is
// set, because then the operator has decided.
func ensureThreads() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < minThreads {
		runtime.GOMAXPROCS(minThreads)
	}
}
