package storagefault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/mattn/go-sqlite3"
)

func TestFaultsAreClassified(t *testing.T) {
	code := func(n sqlite3.ErrNo) error { return sqlite3.Error{Code: n} }
	for _, c := range []struct {
		err  error
		want Kind // empty if it is no fault
	}{
		{code(sqlite3.ErrCorrupt), Corrupt},
		{code(sqlite3.ErrNotADB), Corrupt},
		{code(sqlite3.ErrIoErr), IO},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrShortRead}, IO},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.ENOSPC}, Full},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.EIO}, IO},
		{sqlite3.Error{Code: sqlite3.ErrCantOpen, SystemErrno: syscall.EMFILE}, IO},
		{code(sqlite3.ErrCantOpen), IO},
		{code(sqlite3.ErrReadonly), IO},
		{sqlite3.Error{Code: sqlite3.ErrReadonly, ExtendedCode: sqlite3.ErrReadonlyDbMoved}, Replaced},
		{code(sqlite3.ErrFull), Full},
		{code(sqlite3.ErrBusy), Locked},
		{code(sqlite3.ErrLocked), Locked},
		{&os.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, Full},
		{syscall.EDQUOT, Full},
		{syscall.EROFS, IO},
		{code(sqlite3.ErrError), ""},
		{code(sqlite3.ErrInterrupt), ""},
		{code(sqlite3.ErrConstraint), ""},
		{code(sqlite3.ErrTooBig), ""},
		{code(sqlite3.ErrNomem), ""},
		{sql.ErrNoRows, ""},
		{context.Canceled, ""},
		{syscall.ECONNRESET, ""},
		{errors.New("anything"), ""},
	} {
		got := Classify("p", fmt.Errorf("doing: %w", c.err))
		var storage *Error
		switch {
		case errors.As(got, &storage) && storage.Fault != c.want:
			t.Errorf("%v: got %s, want %q", c.err, storage.Fault, c.want)
		case storage == nil && c.want != "":
			t.Errorf("%v: got none, want %s", c.err, c.want)
		case !errors.Is(got, c.err):
			t.Errorf("got %v, want it to wrap %v", got, c.err)
		}
	}
}
