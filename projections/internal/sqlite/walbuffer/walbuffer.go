// Package walbuffer registers a VFS with SQLite that writes the frames of a transaction to the
// write-ahead log together. SQLite itself writes each frame with two system calls: 24 bytes of
// header, and a page. With pages of 1 KiB these calls are a large part of a COMMIT.
//
// Nothing of a committed transaction stays in the buffer: the page that completes a transaction
// is written before its write returns, with all frames that are still in the buffer. So a COMMIT
// fails as it would without the buffer, and readers and checkpoints need not know the VFS. They
// may use the default one. The comments in walbuffer.c say why each step is safe.
package walbuffer

/*
#cgo darwin LDFLAGS: -Wl,-undefined,dynamic_lookup

extern int walbuffer_register(const char *name);
extern long long walbuffer_writes(void);
*/
import "C"

import (
	"fmt"

	_ "github.com/mattn/go-sqlite3" // links the SQLite that the VFS belongs to

	_ "github.com/clusterlite/clusterlite/projections/internal/sqlite/setup" // configures it before the first call
)

// VFS is the name of the VFS, for the parameter vfs of a DSN. It is the default VFS apart from
// the write-ahead log.
const VFS = "walbuffer"

func init() {
	if code := C.walbuffer_register(C.CString(VFS)); code != 0 { // SQLite keeps the name
		panic(fmt.Sprintf("register the VFS %s with SQLite: code %d", VFS, int(code)))
	}
}

// writes returns how often the process has written to write-ahead logs through the VFS. Safe for
// concurrent use.
func writes() int64 { return int64(C.walbuffer_writes()) }
