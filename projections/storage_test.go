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

	"github.com/clusterlite/clusterlite/projections/internal/lifecycle"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

func TestFaultsAreClassified(t *testing.T) {
	code := func(n sqlite3.ErrNo) error { return sqlite3.Error{Code: n} }
	for _, c := range []struct {
		err  error
		want storagefault.Kind // empty for none
	}{
		{code(sqlite3.ErrCorrupt), storagefault.Corrupt},
		{code(sqlite3.ErrNotADB), storagefault.Corrupt},
		{code(sqlite3.ErrIoErr), storagefault.IO},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrShortRead}, storagefault.IO},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.ENOSPC}, storagefault.Full},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.EIO}, storagefault.IO},
		{sqlite3.Error{Code: sqlite3.ErrCantOpen, SystemErrno: syscall.EMFILE}, storagefault.IO},
		{code(sqlite3.ErrCantOpen), storagefault.IO},
		{code(sqlite3.ErrReadonly), storagefault.IO},
		{sqlite3.Error{Code: sqlite3.ErrReadonly, ExtendedCode: sqlite3.ErrReadonlyDbMoved}, storagefault.Replaced},
		{code(sqlite3.ErrFull), storagefault.Full},
		{code(sqlite3.ErrBusy), storagefault.Locked},
		{code(sqlite3.ErrLocked), storagefault.Locked},
		{&os.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, storagefault.Full},
		{syscall.EDQUOT, storagefault.Full},
		{syscall.EROFS, storagefault.IO},
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
		got := storagefault.Classify("p", fmt.Errorf("doing: %w", c.err))
		var storage *storagefault.Error
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
	var n lifecycle.FailureLog
	now := time.Unix(1e9, 0)
	told := 0
	for i := range 600 { // ten minutes, a try each second
		if _, due := n.Due(errors.New("disk full"), now.Add(time.Duration(i)*time.Second)); due {
			told++
		}
	}
	if told != 10 {
		t.Errorf("told: got %d, want 10 times", told)
	}
	n.End()
	if _, due := n.Due(errors.New("disk full"), now.Add(10*time.Minute)); !due {
		t.Error("a new failure is not told of")
	}
	changing := 0
	for i := range 60 {
		if _, due := n.Due(fmt.Errorf("port %d", i), now.Add(20*time.Minute+time.Duration(i)*time.Second)); due {
			changing++
		}
	}
	if changing != 6 {
		t.Errorf("told of a failure that keeps changing: got %d, want 6 times", changing)
	}
}
