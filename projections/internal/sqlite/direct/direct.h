// The functions that direct.go calls.

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;

// A direct_column describes one value of a row. value is the integer itself, or the length of the text or blob.
typedef struct {
	long long value;
	int type; // of SQLite: 1 is an integer, 2 a float, 3 a text, 4 a blob, 5 NULL; 0 if the row has no such column
} direct_column;

int direct_open(const char *path, const char *settings, int patience, sqlite3 **db);
int direct_close(sqlite3 *db);
int direct_prepare(sqlite3 *db, const char *text, sqlite3_stmt **s);
int direct_finalize(sqlite3_stmt *s);
const char *direct_message(sqlite3 *db);
int direct_errno(sqlite3 *db);

// direct_read executes a statement and returns the result code of its first step. It binds the key to the only
// parameter, unless length is negative. It copies texts and blobs to bytes, one after another, as far as they
// fit, and sets needed to their total length.
int direct_read(sqlite3_stmt *s, const void *key, int length, direct_column *columns, int count, unsigned char *bytes, int size, int *needed);

// direct_blobs executes a statement as direct_read does, and copies the blobs of its first column to bytes until
// there is no room for the next. It skips values whose length is not width, and sets filled to the number of
// bytes that it copied. It returns ROW if there may be further rows.
int direct_blobs(sqlite3_stmt *s, const void *key, int length, int width, unsigned char *bytes, int size, int *filled);
