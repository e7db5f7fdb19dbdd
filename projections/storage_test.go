package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"
)

func TestFaultsAreClassified(t *testing.T) {
	code := func(n sqlite3.ErrNo) error { return sqlite3.Error{Code: n} }
	for _, c := range []struct {
		err  error
		want StorageFault // empty for none
	}{
		{code(sqlite3.ErrCorrupt), FaultCorrupt},
		{code(sqlite3.ErrNotADB), FaultCorrupt},
		{code(sqlite3.ErrIoErr), FaultIO},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrShortRead}, FaultIO},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.ENOSPC}, FaultFull},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.EIO}, FaultIO},
		{sqlite3.Error{Code: sqlite3.ErrCantOpen, SystemErrno: syscall.EMFILE}, FaultIO},
		{code(sqlite3.ErrCantOpen), FaultIO},
		{code(sqlite3.ErrReadonly), FaultIO},
		{sqlite3.Error{Code: sqlite3.ErrReadonly, ExtendedCode: sqlite3.ErrReadonlyDbMoved}, FaultReplaced},
		{code(sqlite3.ErrFull), FaultFull},
		{code(sqlite3.ErrBusy), FaultLocked},
		{code(sqlite3.ErrLocked), FaultLocked},
		{&os.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, FaultFull},
		{syscall.EDQUOT, FaultFull},
		{syscall.EROFS, FaultIO},
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
		got := storageError("p", fmt.Errorf("doing: %w", c.err))
		var storage *StorageError
		switch {
		case errors.As(got, &storage) && storage.Fault != c.want:
			t.Errorf("%v: got %s, want %q", c.err, storage.Fault, c.want)
		case storage == nil && c.want != "":
			t.Errorf("%v: got none, want %s", c.err, c.want)
		case !errors.Is(got, c.err):
			t.Errorf("%v: it is lost in %v", c.err, got)
		}
	}
}

func TestRepairsAreSpacedOut(t *testing.T) {
	var r repairs
	now := time.Unix(1e9, 0)
	for i, want := range append(repairPauses, repairPauses[len(repairPauses)-1]) {
		if got := r.pause(now); got != want {
			t.Errorf("before repair %d: got %s, want %s", i+1, got, want)
		}
		r.note(now)
		now = now.Add(time.Second)
	}
	if got := r.pause(now.Add(repairWindow)); got != 0 {
		t.Errorf("long after: got %s, want none", got)
	}
}

func TestAFailureThatLastsIsToldOfAgain(t *testing.T) {
	var n nagging
	now := time.Unix(1e9, 0)
	told := 0
	for i := range 600 { // ten minutes, a try each second
		if _, due := n.due(errors.New("disk full"), now.Add(time.Duration(i)*time.Second)); due {
			told++
		}
	}
	if told != 10 {
		t.Errorf("told: got %d, want 10 times", told)
	}
	n.end()
	if _, due := n.due(errors.New("disk full"), now.Add(10*time.Minute)); !due {
		t.Error("a new failure is not told of")
	}
	changing := 0
	for i := range 60 {
		if _, due := n.due(fmt.Errorf("port %d", i), now.Add(20*time.Minute+time.Duration(i)*time.Second)); due {
			changing++
		}
	}
	if changing != 6 {
		t.Errorf("told of a failure that keeps changing: got %d, want 6 times", changing)
	}
}
