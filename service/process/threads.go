package process

import (
	"os"
	"runtime"
)

// blockedThreads is the number of threads that SQLite or the disk blocks at a time. Of the worker's thread
// and the one that syncs the log, about one is blocked on average.
const blockedThreads = 1

// allowForBlockedThreads lets Go run as many threads as there are CPUs besides those that are
// blocked. Go counts a thread in C code or in a system call as running until its monitor sees that it
// is not. Measured, more threads lowered the processor time of a write and the latency of reads beside writes; see
// docs/explanation/performance.md. We have not measured whether that is because requests wait less for
// the monitor, or for another reason.
//
// It does nothing if GOMAXPROCS is set, because then the operator has decided. It also does nothing
// if a limit of the container is lower than the number of CPUs, because more threads would use up
// that limit too early in each period, and all of them would then be stopped until the next one.
func allowForBlockedThreads() {
	if cpus := runtime.NumCPU(); os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == cpus {
		runtime.GOMAXPROCS(cpus + blockedThreads)
	}
}
