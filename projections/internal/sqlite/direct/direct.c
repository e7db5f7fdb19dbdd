#include <stdlib.h>
#include <string.h>

#include "direct.h"

// Declared by SQLite, which the driver links: https://sqlite.org/c3ref/funclist.html. They are weak because
// cgo links this package alone first, without the driver. In a program the driver always defines them.
extern int sqlite3_open_v2(const char *, sqlite3 **, int, const char *) __attribute__((weak));
extern int sqlite3_close(sqlite3 *) __attribute__((weak));
extern int sqlite3_exec(sqlite3 *, const char *, void *, void *, char **) __attribute__((weak));
extern int sqlite3_busy_timeout(sqlite3 *, int) __attribute__((weak));
extern int sqlite3_extended_result_codes(sqlite3 *, int) __attribute__((weak));
extern int sqlite3_system_errno(sqlite3 *) __attribute__((weak));
extern const char *sqlite3_errmsg(sqlite3 *) __attribute__((weak));
extern int sqlite3_prepare_v3(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **) __attribute__((weak));
extern int sqlite3_bind_blob(sqlite3_stmt *, int, const void *, int, void (*)(void *)) __attribute__((weak));
extern int sqlite3_step(sqlite3_stmt *) __attribute__((weak));
extern int sqlite3_reset(sqlite3_stmt *) __attribute__((weak));
extern int sqlite3_finalize(sqlite3_stmt *) __attribute__((weak));
extern int sqlite3_column_count(sqlite3_stmt *) __attribute__((weak));
extern int sqlite3_column_type(sqlite3_stmt *, int) __attribute__((weak));
extern long long sqlite3_column_int64(sqlite3_stmt *, int) __attribute__((weak));
extern const void *sqlite3_column_blob(sqlite3_stmt *, int) __attribute__((weak));
extern int sqlite3_column_bytes(sqlite3_stmt *, int) __attribute__((weak));

enum {
	OK = 0, ROW = 100,
	OPEN_READWRITE = 0x2, OPEN_NOMUTEX = 0x8000,
	PREPARE_PERSISTENT = 0x1,
	TYPE_INTEGER = 1, TYPE_TEXT = 3, TYPE_BLOB = 4,
};

int direct_open(const char *path, const char *settings, int patience, sqlite3 **db) {
	// Only one thread at a time uses a connection, so it needs no mutex. Even a reader must be able to write to
	// the shared memory of a file in WAL mode.
	int code = sqlite3_open_v2(path, db, OPEN_READWRITE | OPEN_NOMUTEX, 0);
	if (code == OK) {
		sqlite3_extended_result_codes(*db, 1);
		sqlite3_busy_timeout(*db, patience);
		code = sqlite3_exec(*db, settings, 0, 0, 0);
	}
	return code;
}

int direct_close(sqlite3 *db) { return sqlite3_close(db); }

int direct_prepare(sqlite3 *db, const char *text, sqlite3_stmt **s) {
	return sqlite3_prepare_v3(db, text, -1, PREPARE_PERSISTENT, s, 0);
}

int direct_finalize(sqlite3_stmt *s) { return sqlite3_finalize(s); }

const char *direct_message(sqlite3 *db) { return sqlite3_errmsg(db); }

int direct_errno(sqlite3 *db) { return sqlite3_system_errno(db); }

// start binds the key, unless length is negative.
static int start(sqlite3_stmt *s, const void *key, int length) {
	if (length < 0)
		return OK;
	// A null pointer would bind NULL. The key stays valid until the statement is reset.
	return sqlite3_bind_blob(s, 1, length > 0 ? key : "", length, 0);
}

int direct_read(sqlite3_stmt *s, const void *key, int length, direct_column *columns, int count, unsigned char *bytes, int size, int *needed) {
	*needed = 0;
	int code = start(s, key, length);
	if (code != OK)
		return code;
	code = sqlite3_step(s);
	if (code == ROW) {
		int all = sqlite3_column_count(s);
		for (int i = 0; i < count; i++) {
			direct_column *c = &columns[i];
			c->type = i < all ? sqlite3_column_type(s, i) : 0;
			c->value = 0;
			if (c->type == TYPE_INTEGER) {
				c->value = sqlite3_column_int64(s, i);
			} else if (c->type == TYPE_TEXT || c->type == TYPE_BLOB) {
				const void *from = sqlite3_column_blob(s, i); // before sqlite3_column_bytes, since it may convert the value
				int n = sqlite3_column_bytes(s, i);
				if (from == 0 && n > 0)
					n = 0; // out of memory, which sqlite3_reset reports
				if (n > 0 && n <= size - *needed)
					memcpy(bytes + *needed, from, n);
				c->value = n;
				*needed += n;
			}
		}
	}
	int after = sqlite3_reset(s);
	return after != OK ? after : code;
}

int direct_blobs(sqlite3_stmt *s, const void *key, int length, int width, unsigned char *bytes, int size, int *filled) {
	*filled = 0;
	int code = start(s, key, length);
	if (code != OK)
		return code;
	while (width <= size - *filled && (code = sqlite3_step(s)) == ROW) {
		const void *from = sqlite3_column_blob(s, 0); // before sqlite3_column_bytes, since it may convert the value
		if (from != 0 && sqlite3_column_bytes(s, 0) == width) {
			memcpy(bytes + *filled, from, width);
			*filled += width;
		}
	}
	int after = sqlite3_reset(s);
	return after != OK ? after : code == OK ? ROW : code;
}
