// Package setup configures SQLite for the process. SQLite accepts that only before anything else calls
// it, so every package whose initialisation calls SQLite must import this one. Otherwise, programs fail
// at startup.
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

static int disable_memory_statistics(void) { return sqlite3_config(CONFIG_MEMSTATUS, 0); }
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

// slotBytes and slots are the size and the number of a connection's lookaside slots, from which SQLite allocates
// small objects. Its defaults are 1,200 and 100. The statements that a connection keeps prepared fill those, so
// each execution would allocate its cursors with malloc.
const slotBytes, slots = 1200, 200

func init() {
	check("disable the memory statistics", C.disable_memory_statistics())
	check("set the lookaside memory", C.set_lookaside(slotBytes, slots))
}

func check(what string, code C.int) {
	if code != 0 {
		panic(fmt.Sprintf("%s of SQLite: code %d", what, int(code)))
	}
}

// memoryUsed returns the memory in use according to SQLite's statistics, in bytes.
func memoryUsed() int64 { return int64(C.memory_used()) }
