// Package preparations counts how often SQLite compiles statements in this process. It is
// for benchmarks and tests of what must stay prepared: a compilation costs more than most
// reads, and nothing else shows that SQLite compiles a prepared statement again by itself,
// as it does after some changes of the schema or of a parameter.
//
// It registers with SQLite for all connections that are opened after the package is
// initialised, so only tests import it.
package preparations

/*
#cgo linux LDFLAGS: -Wl,--unresolved-symbols=ignore-in-object-files
#cgo darwin LDFLAGS: -Wl,-undefined,dynamic_lookup

#include <stdatomic.h>

// Declared by SQLite, which the driver links.
typedef struct sqlite3 sqlite3;
extern int sqlite3_auto_extension(void (*entry)(void));
extern int sqlite3_set_authorizer(sqlite3 *, int (*)(void *, int, const char *, const char *, const char *, const char *), void *);

enum { ACTION_DELETE = 9, ACTION_INSERT = 18, ACTION_PRAGMA = 19, ACTION_SELECT = 21, ACTION_TRANSACTION = 22, ACTION_UPDATE = 23, ACTION_SAVEPOINT = 32 };

static atomic_llong compiled;

// SQLite asks for permission while it compiles, at least once for each statement.
static int authorize(void *unused, int action, const char *a, const char *b, const char *c, const char *d) {
	switch (action) {
	case ACTION_DELETE: case ACTION_INSERT: case ACTION_PRAGMA: case ACTION_SELECT:
	case ACTION_TRANSACTION: case ACTION_UPDATE: case ACTION_SAVEPOINT:
		atomic_fetch_add(&compiled, 1);
	}
	return 0;
}

static int connected(sqlite3 *db, const char **message, const void *api) {
	return sqlite3_set_authorizer(db, authorize, 0);
}

static int count_all(void) { return sqlite3_auto_extension((void (*)(void))connected); }
static long long count(void) { return atomic_load(&compiled); }
*/
import "C"

import (
	"fmt"

	_ "github.com/mattn/go-sqlite3" // links the SQLite whose compilations are counted

	_ "github.com/clusterlite/clusterlite/projections/internal/sqlite/setup" // configures it before the first call
)

func init() {
	if code := C.count_all(); code != 0 {
		panic(fmt.Sprintf("register with SQLite: code %d", int(code)))
	}
}

// Count is how many statements were compiled so far. A statement with another one in it, such
// as a subquery, counts once for each. Safe for concurrent use.
func Count() int64 { return int64(C.count()) }
