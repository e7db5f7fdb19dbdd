package process

/*
#include <sys/prctl.h>

// The delay of a thread's timers, in nanoseconds, that Linux permits by default and that we do.
enum { DEFAULT_SLACK = 50 * 1000, SLACK = 500 * 1000 };

// All threads of Go descend from the one that starts the process, and inherit the delay that it
// permits at that time. So this must run before Go's first thread exists: before main. It does
// nothing if the operator has chosen another delay, such as with TimerSlackNSec= of systemd.
__attribute__((constructor)) static void permit_late_timers(void) {
	if (prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) == DEFAULT_SLACK)
		prctl(PR_SET_TIMERSLACK, SLACK, 0, 0, 0);
}
*/
import "C"

// timerSlack is how much later than it asked for the kernel may wake a thread of this process, in
// nanoseconds.
//
// Go's monitor thread sleeps for 20 us again and again as long as threads are in SQLite or in system
// calls, which is nearly always on a node that applies events. Each time the kernel programs a timer and
// switches threads. With the kernel's default delay of 50 us, that was a tenth of the CPU time of a
// node in a cluster (docs/decisions/2026-11-27-late-timers.md). The monitor may be late: it gives the
// place of a blocked thread to another one, and most calls end before that. Timers of Go have about a
// millisecond of resolution anyway when nothing else runs, because a thread waits for them in epoll_wait.
const timerSlack = C.SLACK
