#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// Declared by SQLite, which the driver links. These structures are part of its stable interface:
// https://sqlite.org/c3ref/io_methods.html and https://sqlite.org/c3ref/vfs.html.

typedef long long int sqlite3_int64;
typedef struct sqlite3_io_methods sqlite3_io_methods;
typedef struct sqlite3_vfs sqlite3_vfs;

typedef struct sqlite3_file {
	const sqlite3_io_methods *pMethods;
} sqlite3_file;

struct sqlite3_io_methods {
	int iVersion;
	int (*xClose)(sqlite3_file *);
	int (*xRead)(sqlite3_file *, void *, int, sqlite3_int64);
	int (*xWrite)(sqlite3_file *, const void *, int, sqlite3_int64);
	int (*xTruncate)(sqlite3_file *, sqlite3_int64);
	int (*xSync)(sqlite3_file *, int);
	int (*xFileSize)(sqlite3_file *, sqlite3_int64 *);
	int (*xLock)(sqlite3_file *, int);
	int (*xUnlock)(sqlite3_file *, int);
	int (*xCheckReservedLock)(sqlite3_file *, int *);
	int (*xFileControl)(sqlite3_file *, int, void *);
	int (*xSectorSize)(sqlite3_file *);
	int (*xDeviceCharacteristics)(sqlite3_file *);
	// since version 2
	int (*xShmMap)(sqlite3_file *, int, int, int, void volatile **);
	int (*xShmLock)(sqlite3_file *, int, int, int);
	void (*xShmBarrier)(sqlite3_file *);
	int (*xShmUnmap)(sqlite3_file *, int);
	// since version 3
	int (*xFetch)(sqlite3_file *, sqlite3_int64, int, void **);
	int (*xUnfetch)(sqlite3_file *, sqlite3_int64, void *);
};

struct sqlite3_vfs {
	int iVersion;
	int szOsFile;
	int mxPathname;
	sqlite3_vfs *pNext;
	const char *zName;
	void *pAppData;
	int (*xOpen)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
	void (*methods1[11])(void); // xDelete to xGetLastError
	void (*methods2)(void);     // xCurrentTimeInt64, since version 2
	void (*methods3[3])(void);  // xSetSystemCall to xNextSystemCall, since version 3
};

// They are weak because cgo links this file alone first, without the driver. In a program the driver
// always defines them.
extern sqlite3_vfs *sqlite3_vfs_find(const char *) __attribute__((weak));
extern int sqlite3_vfs_register(sqlite3_vfs *, int) __attribute__((weak));
extern sqlite3_file *sqlite3_database_file_object(const char *) __attribute__((weak));

enum {
	SQLITE_OK = 0, SQLITE_ERROR = 1,
	SQLITE_OPEN_MAIN_DB = 0x00000100, SQLITE_OPEN_WAL = 0x00080000,
	SQLITE_SHM_UNLOCK = 1, SQLITE_SHM_LOCK = 2, SQLITE_SHM_EXCLUSIVE = 8,
	WRITE_LOCK = 0, // offset of the lock of the connection that writes: WAL_WRITE_LOCK in wal.c
};

// The format of the log: https://sqlite.org/walformat.html. All numbers are big endian.
enum {
	LOG_HEADER = 32,   // at the start of the file: a magic number at byte 0, the page size at byte 8
	FRAME_HEADER = 24, // before each page: bytes 4 to 7 are zero, except in the frame that commits
};

// SQLite's VFS for Unix writes at most 0x1ffff bytes in one call, and reports a full disk for
// larger writes whose length is a multiple of 0x20000: see seekAndWriteFd in os_unix.c.
enum { CAPACITY = 0x1ffff };

// A wal is an open write-ahead log. Its connection uses it from one thread at a time.
//
// Frames are collected only while the connection holds the lock for writing, so what is in the
// buffer always belongs to the transaction that runs. To write it out early is always safe,
// because SQLite would have done that at once. What has to be ensured is that all of it is
// written before the transaction commits, and none of it after the lock was released, when
// another connection may write at the same offsets.
typedef struct wal {
	sqlite3_file base;
	struct database *db; // NULL once it is closed
	int locked;          // the connection holds the lock for writing
	int direct;          // the rest of the transaction is not collected

	unsigned char *frames; // the buffer, allocated when it is first needed
	sqlite3_int64 start;   // its offset in the file
	int used;              // its bytes
	int pending;           // it ends with a header whose page is yet to come
	int commits;           // the last header is that of a frame that commits
	unsigned page;         // the size of a page, or 0 as long as it is not known

	int failed; // why the transaction lost frames, the first of them at start, or SQLITE_OK
} wal;

// A database is an open main database file. It forwards everything, and tells its log when the
// lock for writing is acquired and released.
typedef struct database {
	sqlite3_file base;
	sqlite3_io_methods methods; // with the version of the real methods
	wal *wal;                   // NULL while it is not open
} database;

// SQLite allocates szOsFile bytes for each file. The file of the default VFS follows ours in them.
enum { OWN = ((sizeof(wal) > sizeof(database) ? sizeof(wal) : sizeof(database)) + 15) / 16 * 16 };

static sqlite3_file *real(void *own) { return (sqlite3_file *)((char *)own + OWN); }
#define REAL(own, method, ...) real(own)->pMethods->method(real(own), ##__VA_ARGS__)

static sqlite3_vfs *base, buffering;
static atomic_llong writes;

static unsigned number(const unsigned char *at) {
	return (unsigned)at[0] << 24 | (unsigned)at[1] << 16 | (unsigned)at[2] << 8 | at[3];
}

// begin and end are called when the connection has acquired the lock for writing, and before it
// releases it. At the end of a transaction that commits the buffer is empty. What one that was
// rolled back leaves is dropped: the next transaction of any connection begins at its offsets.
static void begin(wal *w) { w->locked = 1; }
static void end(wal *w) {
	w->locked = w->direct = w->used = w->pending = 0;
	w->failed = SQLITE_OK;
}

static int write_through(wal *w, const void *data, int n, sqlite3_int64 offset) {
	atomic_fetch_add(&writes, 1);
	return REAL(w, xWrite, data, n, offset);
}

// write_out writes the buffer. If that fails, frames are lost whose writes were reported as done.
// So the transaction must not commit: every later write fails until it has ended, and SQLite
// writes at least one page for each COMMIT (sqlite3PagerCommitPhaseOne).
static int write_out(wal *w) {
	if (w->failed) return w->failed;
	if (!w->used) return SQLITE_OK;
	int rc = write_through(w, w->frames, w->used, w->start);
	w->failed = rc;
	w->used = w->pending = 0;
	return rc;
}

// learn takes the size of a page from the header of the log. It is the same as long as the log
// exists: changing it requires that no other connection uses the log.
static void learn(wal *w, const unsigned char *header) {
	unsigned page = number(header + 8);
	int valid = (number(header) & ~1u) == 0x377f0682 && page >= 512 && page <= 65536 && !(page & (page - 1));
	w->page = valid ? page : 0;
}

// at_frame reports whether a frame can begin at the offset.
static int at_frame(wal *w, sqlite3_int64 offset) {
	unsigned char header[LOG_HEADER];
	if (!w->page && REAL(w, xRead, header, LOG_HEADER, 0) == SQLITE_OK) learn(w, header);
	return w->page && offset >= LOG_HEADER && (offset - LOG_HEADER) % (FRAME_HEADER + w->page) == 0;
}

// prepare makes room for a frame at the offset. Frames that do not follow those in the buffer come after a
// ROLLBACK TO. Some of those in the buffer may still belong to the transaction then.
static int prepare(wal *w, sqlite3_int64 offset) {
	if (w->used && (offset != w->start + w->used || w->used + FRAME_HEADER + w->page > CAPACITY)) {
		int rc = write_out(w);
		if (rc) return rc;
	}
	if (!w->used) w->start = offset;
	return SQLITE_OK;
}

static int append(wal *w, const void *data, int n) {
	memcpy(w->frames + w->used, data, n);
	w->used += n;
	return SQLITE_OK;
}

// wal_write collects frames as walWriteOneFrame in wal.c writes them: a header, then a page.
//
// Every other write goes to the file, after the buffer, and ends the collecting until the next
// transaction. It is mostly a page over that of a frame of the same transaction that was written
// because the cache was full. Then SQLite computes the checksums of all later frames
// again when it commits, after the frame that commits was written (walRewriteChecksums). It writes
// headers without pages, the last of which would be left in the buffer.
//
// walFrames changes the index of the log, where other connections look for frames, once all its
// writes have succeeded (walIndexWriteHdr). So the frame that commits ends the buffering: the error
// of the write is that of its page, and lets the COMMIT fail.
static int wal_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 offset) {
	wal *w = (wal *)f;
	if (w->failed) return w->failed;
	if (w->locked && !w->direct && !w->frames) w->direct = !(w->frames = malloc(CAPACITY));
	if (w->locked && !w->direct) {
		if (!w->pending && n == FRAME_HEADER && at_frame(w, offset)) {
			int rc = prepare(w, offset);
			if (rc) return rc;
			w->pending = 1;
			w->commits = number((const unsigned char *)data + 4) != 0;
			return append(w, data, n);
		}
		if (w->pending && n == (int)w->page && offset == w->start + w->used) {
			w->pending = 0;
			append(w, data, n);
			return w->commits ? write_out(w) : SQLITE_OK;
		}
	}
	int rc = write_out(w);
	if (rc) return rc;
	if (offset == 0 && n == LOG_HEADER) { // the log starts again from its beginning
		learn(w, data);
	} else {
		w->direct = w->locked;
	}
	return write_through(w, data, n, offset);
}

// What a connection reads of its own transaction may be in the buffer, or lost. What others have
// committed lies before it.
static int wal_read(sqlite3_file *f, void *data, int n, sqlite3_int64 offset) {
	wal *w = (wal *)f;
	if (offset + n > w->start) {
		int rc = write_out(w);
		if (rc) return rc;
	}
	return REAL(w, xRead, data, n, offset);
}

static int wal_truncate(sqlite3_file *f, sqlite3_int64 size) {
	int rc = write_out((wal *)f);
	return rc ? rc : REAL(f, xTruncate, size);
}

static int wal_sync(sqlite3_file *f, int flags) {
	int rc = write_out((wal *)f);
	return rc ? rc : REAL(f, xSync, flags);
}

static int wal_size(sqlite3_file *f, sqlite3_int64 *size) {
	int rc = write_out((wal *)f);
	return rc ? rc : REAL(f, xFileSize, size);
}

static int wal_close(sqlite3_file *f) {
	wal *w = (wal *)f;
	if (w->db) w->db->wal = NULL;
	free(w->frames);
	return REAL(w, xClose);
}

static int lock(sqlite3_file *f, int level) { return REAL(f, xLock, level); }
static int unlock(sqlite3_file *f, int level) { return REAL(f, xUnlock, level); }
static int reserved(sqlite3_file *f, int *result) { return REAL(f, xCheckReservedLock, result); }
static int control(sqlite3_file *f, int op, void *arg) { return REAL(f, xFileControl, op, arg); }
static int sector_size(sqlite3_file *f) { return REAL(f, xSectorSize); }
static int characteristics(sqlite3_file *f) { return REAL(f, xDeviceCharacteristics); }

static int db_read(sqlite3_file *f, void *data, int n, sqlite3_int64 offset) { return REAL(f, xRead, data, n, offset); }
static int db_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 offset) { return REAL(f, xWrite, data, n, offset); }
static int db_truncate(sqlite3_file *f, sqlite3_int64 size) { return REAL(f, xTruncate, size); }
static int db_sync(sqlite3_file *f, int flags) { return REAL(f, xSync, flags); }
static int db_size(sqlite3_file *f, sqlite3_int64 *size) { return REAL(f, xFileSize, size); }
static int db_map(sqlite3_file *f, int region, int size, int extend, void volatile **at) { return REAL(f, xShmMap, region, size, extend, at); }
static void db_barrier(sqlite3_file *f) { REAL(f, xShmBarrier); }
static int db_unmap(sqlite3_file *f, int delete) { return REAL(f, xShmUnmap, delete); }
static int db_fetch(sqlite3_file *f, sqlite3_int64 offset, int n, void **at) { return REAL(f, xFetch, offset, n, at); }
static int db_unfetch(sqlite3_file *f, sqlite3_int64 offset, void *at) { return REAL(f, xUnfetch, offset, at); }

// A connection that has locked the file exclusively takes no such locks, so nothing is collected.
static int db_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
	wal *w = ((database *)f)->wal;
	int writing = w && offset == WRITE_LOCK;
	if (writing && flags & SQLITE_SHM_UNLOCK) end(w);
	int rc = REAL(f, xShmLock, offset, n, flags);
	if (writing && rc == SQLITE_OK && flags == (SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE)) begin(w);
	return rc;
}

static int db_close(sqlite3_file *f) {
	wal *w = ((database *)f)->wal;
	if (w) {
		end(w);
		w->db = NULL;
	}
	return REAL(f, xClose);
}

// A log needs no methods for an index or for mapped pages.
static const sqlite3_io_methods wal_methods = {
	1, wal_close, wal_read, wal_write, wal_truncate, wal_sync, wal_size,
	lock, unlock, reserved, control, sector_size, characteristics,
};

static const sqlite3_io_methods db_methods = {
	3, db_close, db_read, db_write, db_truncate, db_sync, db_size,
	lock, unlock, reserved, control, sector_size, characteristics,
	db_map, db_shm_lock, db_barrier, db_unmap, db_fetch, db_unfetch,
};

// database_of returns the database of a log that is being opened, or NULL if it is not one of ours.
static database *database_of(const char *name) {
	sqlite3_file *f = sqlite3_database_file_object(name);
	int ours = f && f->pMethods && f->pMethods->iVersion >= 2 && f->pMethods->xShmLock == db_shm_lock;
	return ours ? (database *)f : NULL;
}

// open_file leaves files other than databases and their logs, such as temporary ones, to the default VFS.
static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *flagged) {
	if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))) return base->xOpen(base, name, f, flags, flagged);
	memset(f, 0, OWN);
	real(f)->pMethods = NULL;
	int rc = base->xOpen(base, name, real(f), flags, flagged);
	if (!real(f)->pMethods) return rc; // otherwise SQLite closes the file, even after an error
	if (flags & SQLITE_OPEN_WAL) {
		wal *w = (wal *)f;
		w->db = database_of(name);
		if (w->db) w->db->wal = w;
		f->pMethods = &wal_methods;
	} else {
		database *db = (database *)f;
		db->methods = db_methods;
		if (real(f)->pMethods->iVersion < db->methods.iVersion) db->methods.iVersion = real(f)->pMethods->iVersion;
		f->pMethods = &db->methods;
	}
	return rc;
}

// walbuffer_register registers the VFS under the name, which has to stay valid.
int walbuffer_register(const char *name) {
	base = sqlite3_vfs_find(NULL);
	if (!base) return SQLITE_ERROR;
	buffering = *base;
	if (buffering.iVersion > 3) buffering.iVersion = 3;
	buffering.zName = name;
	buffering.pNext = NULL;
	buffering.szOsFile = OWN + base->szOsFile;
	buffering.xOpen = open_file;
	return sqlite3_vfs_register(&buffering, 0);
}

long long walbuffer_writes(void) { return atomic_load(&writes); }
