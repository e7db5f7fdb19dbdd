// Package storagefault classifies failures of the disk and the files that hold a read model.
package storagefault

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// FromSQLite reports whether SQLite returned err.
func FromSQLite(err error) bool {
	var of sqlite3.Error
	return errors.As(err, &of)
}

// UnreadableRow returns an [Error] if a statement ran, but returned values that do not fit
// their columns. It returns any other error unchanged.
func UnreadableRow(path string, err error) error {
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows), FromSQLite(err),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, sql.ErrTxDone), errors.Is(err, sql.ErrConnDone), errors.Is(err, driver.ErrBadConn):
		return err
	}
	return &Error{Fault: Corrupt, Path: path, Err: err}
}

// A Kind names a kind of fault in a projection's storage. The words are stable: they are labels
// of a metric.
type Kind string

// The kinds.
const (
	// Corrupt: the content of the file is not what was written.
	Corrupt Kind = "corrupt"
	// IO: the file can't be opened, read or written.
	IO Kind = "io"
	// Replaced: the file, or one that SQLite keeps beside it, was deleted or replaced while it
	// was open.
	Replaced Kind = "replaced"
	// Full: the disk is full.
	Full Kind = "full"
	// Locked: another process holds a lock on the file.
	Locked Kind = "locked"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Corrupt, IO, Replaced, Full, Locked}
}

// Damages reports whether the file can't be used any more and has to be rebuilt. Other faults
// end once their cause is gone.
func (f Kind) Damages() bool {
	return f == Corrupt || f == IO || f == Replaced
}

// An Error is a failure of the storage that holds a projection's file. It says nothing about
// the request that met it, which another node may be able to serve.
type Error struct {
	Fault Kind
	// Path is the file.
	Path string
	Err  error
}

// Error says what happened, and what to do if the node can't recover by itself.
func (e *Error) Error() string {
	switch e.Fault {
	case Corrupt:
		return fmt.Sprintf("the projection file %s is damaged: %v", e.Path, e.Err)
	case Replaced:
		return fmt.Sprintf("the projection file %s was changed by another program: %v", e.Path, e.Err)
	case Full:
		return fmt.Sprintf("the disk of the projection file %s is full: %v. Free some space; the node then continues by itself", e.Path, e.Err)
	case Locked:
		return fmt.Sprintf("another process holds a lock on the projection file %s: %v. Once that process ends its transaction, the node continues by itself", e.Path, e.Err)
	default:
		return fmt.Sprintf("the projection file %s can't be read or written: %v", e.Path, e.Err)
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Classify returns an [Error] if the storage of a file caused err, and otherwise returns err
// unchanged.
func Classify(path string, err error) error {
	var already *Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	if fault, is := FaultOf(err); is {
		return &Error{Fault: fault, Path: path, Err: err}
	}
	return err
}

// FaultOf classifies errors of SQLite and of the operating system. Errors that a request can
// cause, such as an interrupted or too complex statement, are not faults.
func FaultOf(err error) (Kind, bool) {
	var failed sqlite3.Error
	if errors.As(err, &failed) {
		if fault, is := faultOfErrno(failed.SystemErrno); is && failed.Code != sqlite3.ErrCorrupt {
			return fault, true // the system's error is more precise: SQLite also reports a full disk as "disk I/O error"
		}
		return faultOfCode(failed)
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return faultOfErrno(number)
	}
	return "", false
}

func faultOfCode(failed sqlite3.Error) (Kind, bool) {
	switch failed.Code {
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrFormat:
		return Corrupt, true
	case sqlite3.ErrFull:
		return Full, true
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return Locked, true
	case sqlite3.ErrReadonly:
		if failed.ExtendedCode == sqlite3.ErrReadonlyDbMoved {
			return Replaced, true
		}
		return IO, true
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen, sqlite3.ErrPerm:
		return IO, true
	}
	return "", false
}

func faultOfErrno(number syscall.Errno) (Kind, bool) {
	switch number {
	case syscall.ENOSPC, syscall.EDQUOT:
		return Full, true
	case syscall.EIO, syscall.EROFS, syscall.ENXIO, syscall.ENODEV, syscall.ESTALE, syscall.EACCES, syscall.EPERM, syscall.ENOENT, syscall.ENOTDIR:
		return IO, true
	}
	return "", false
}
