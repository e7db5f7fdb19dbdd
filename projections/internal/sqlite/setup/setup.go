// Package setup configures SQLite for the process. SQLite accepts that only before anything else calls
// it, so every package that calls SQLite while it is initialised imports this one. If one did not, the
// programs would end when they start.
//
// See docs/decisions/2026-11-28-memory-of-sqlite.md for the reasons and figures.
package setup

/*
#cgo darwin LDFLAGS: -Wl,-undefined,dynamic_lookup

// Declared by SQLite, which the driver links: https://sqlite.org/c3ref/config.html. They are weak because
// cgo links this package alone first, without the driver.
extern int sqlite3_config(int option, ...) __attribute__((weak));
extern int sqlite3_status64(int what, long long *current, long long *highest, int reset) __attribute__((weak));

enum { CONFIG_MEMSTATUS = 9, CONFIG_LOOKASIDE = 13, STATUS_MEMORY_USED = 0 };

static int leave_memory_uncounted(void) { return sqlite3_config(CONFIG_MEMSTATUS, 0); }
static int set_lookaside(int size, int count) { return sqlite3_config(CONFIG_LOOKASIDE, size, count); }

static long long memory_used(void) {
	long long current = -1, highest;
	sqlite3_status64(STATUS_MEMORY_USED, &current, &highest, 0);
	return current;
}
*/
import "C"

import (
	"fmt"

	_ "github.com/mattn/go-sqlite3" // links the SQLite that is configured
)

// slotBytes and slots are the size of a connection's slots for small objects (its lookaside), and their
// number. SQLite's defaults are 1,200 and 100. The statements that a connection keeps prepared fill those, so
// that each execution would allocate its cursors with malloc.
const slotBytes, slots = 1200, 200

func init() {
	check("leave memory uncounted", C.leave_memory_uncounted())
	check("set the memory for small objects", C.set_lookaside(slotBytes, slots))
}

func check(what string, code C.int) {
	if code != 0 {
		panic(fmt.Sprintf("%s in SQLite: code %d", what, int(code)))
	}
}

// memoryUsed returns the memory that SQLite has counted, in bytes.
func memoryUsed() int64 { return int64(C.memory_used()) }
