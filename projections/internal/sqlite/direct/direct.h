// The calls of direct.go: see direct.c.

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;

// A direct_column is a value of a row. value is an integer, or the length of a text or blob.
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

// direct_read executes a statement with a key as its only parameter, or without one if length is negative, and
// returns the code of its first step. It copies texts and blobs one after the other to bytes, as far as they fit, and sets needed to the length
// of all of them.
int direct_read(sqlite3_stmt *s, const void *key, int length, direct_column *columns, int count, unsigned char *bytes, int size, int *needed);

// direct_blobs executes a statement like direct_read, and copies the blobs of its first column to bytes until
// no further one fits. It skips those whose length is not width. It sets filled to the length of all of them.
int direct_blobs(sqlite3_stmt *s, const void *key, int length, int width, unsigned char *bytes, int size, int *filled);
