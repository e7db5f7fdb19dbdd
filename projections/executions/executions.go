// Package executions records which statements SQLite runs in this process. It is for tests that
// compare how two requests are answered: a response that takes other statements also takes
// another time.
//
// It registers with SQLite for all connections that are opened after the package is
// initialised, so only tests import it.
package executions

/*
#cgo linux LDFLAGS: -Wl,--unresolved-symbols=ignore-in-object-files
#cgo darwin LDFLAGS: -Wl,-undefined,dynamic_lookup

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Declared by SQLite, which the driver links.
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
extern int sqlite3_auto_extension(void (*entry)(void));
extern int sqlite3_trace_v2(sqlite3 *, unsigned, int (*)(unsigned, void *, void *, void *), void *);
extern const char *sqlite3_sql(sqlite3_stmt *);

enum { TRACE_STMT = 1 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int recording;
static char *texts; // each ends with a zero byte
static size_t used, size;

// SQLite calls this function when a statement starts, on any thread.
static int on_statement(unsigned type, void *unused, void *statement, void *text) {
	pthread_mutex_lock(&mutex);
	const char *sql = recording ? sqlite3_sql(statement) : NULL;
	if (sql) {
		size_t n = strlen(sql) + 1;
		if (used + n > size) {
			size_t larger = 2 * (used + n);
			char *moved = realloc(texts, larger);
			if (!moved) abort();
			texts = moved;
			size = larger;
		}
		memcpy(texts + used, sql, n);
		used += n;
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

static int on_connection(sqlite3 *db, const char **message, const void *api) {
	return sqlite3_trace_v2(db, TRACE_STMT, on_statement, 0);
}

static int trace_all(void) { return sqlite3_auto_extension((void (*)(void))on_connection); }

static void start(void) {
	pthread_mutex_lock(&mutex);
	recording = 1;
	used = 0;
	pthread_mutex_unlock(&mutex);
}

// The caller frees the result.
static char *stop(size_t *n) {
	pthread_mutex_lock(&mutex);
	char *all = texts;
	*n = used;
	recording = 0;
	texts = NULL;
	used = size = 0;
	pthread_mutex_unlock(&mutex);
	return all;
}
*/
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	_ "github.com/mattn/go-sqlite3" // links the SQLite whose statements are recorded

	_ "github.com/clusterlite/clusterlite/projections/internal/sqlite/setup" // configures it before the first call
)

func init() {
	if code := C.trace_all(); code != 0 {
		panic(fmt.Sprintf("register with SQLite: code %d", int(code)))
	}
}

// During returns the texts of the statements that start while do runs, in order, on all connections of
// the process. They include statements of other goroutines. Calls must not overlap.
func During(do func()) []string {
	C.start()
	do()
	var n C.size_t
	all := C.stop(&n)
	defer C.free(unsafe.Pointer(all))
	if n == 0 {
		return nil
	}
	return strings.Split(C.GoStringN(all, C.int(n)-1), "\x00")
}
