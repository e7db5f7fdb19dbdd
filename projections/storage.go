package projections

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// A StorageFault names what is wrong with a projection's own storage. The words are
// stable: they are labels of a metric.
type StorageFault string

// The faults.
const (
	// FaultCorrupt: the content of the file is not what was written there.
	FaultCorrupt StorageFault = "corrupt"
	// FaultIO: the file can't be opened, read or written.
	FaultIO StorageFault = "io"
	// FaultReplaced: the file, or one that SQLite keeps beside it, was deleted or replaced
	// while it was open.
	FaultReplaced StorageFault = "replaced"
	// FaultFull: the disk has no room left.
	FaultFull StorageFault = "full"
	// FaultLocked: another process holds a lock on the file.
	FaultLocked StorageFault = "locked"
)

// StorageFaults are all faults.
func StorageFaults() []StorageFault {
	return []StorageFault{FaultCorrupt, FaultIO, FaultReplaced, FaultFull, FaultLocked}
}

// damages tells whether the file is of no use any more and has to be built again. The
// other faults pass by themselves once their cause is gone.
func (f StorageFault) damages() bool {
	return f == FaultCorrupt || f == FaultIO || f == FaultReplaced
}

// A StorageError is a failure of the storage that a projection keeps its file on. It says
// nothing about the request that met it, which another node may serve.
type StorageError struct {
	Fault StorageFault
	// Path is the file.
	Path string
	Err  error
}

// Error says what happened, and what to do if the node can't help itself.
func (e *StorageError) Error() string {
	switch e.Fault {
	case FaultCorrupt:
		return fmt.Sprintf("the projection file %s is damaged: %v", e.Path, e.Err)
	case FaultReplaced:
		return fmt.Sprintf("the projection file %s was changed by another program: %v", e.Path, e.Err)
	case FaultFull:
		return fmt.Sprintf("the disk of the projection file %s is full: %v. Free some space; the node then continues by itself", e.Path, e.Err)
	case FaultLocked:
		return fmt.Sprintf("another process holds a lock on the projection file %s: %v. Once that process ends its transaction, the node continues by itself", e.Path, e.Err)
	default:
		return fmt.Sprintf("the projection file %s can't be read or written: %v", e.Path, e.Err)
	}
}

// Unwrap gives the cause.
func (e *StorageError) Unwrap() error { return e.Err }

// storageError makes a [StorageError] of an error that the storage of a file is to blame
// for, and returns any other error as it is.
func storageError(path string, err error) error {
	var already *StorageError
	if err == nil || errors.As(err, &already) {
		return err
	}
	if fault, is := faultOf(err); is {
		return &StorageError{Fault: fault, Path: path, Err: err}
	}
	return err
}

// faultOf classifies the errors of SQLite and of the operating system. Those that a
// request can bring about, such as one that was interrupted or is too complex, are no
// faults.
func faultOf(err error) (StorageFault, bool) {
	var failed sqlite3.Error
	if errors.As(err, &failed) {
		if fault, is := faultOfErrno(failed.SystemErrno); is && failed.Code != sqlite3.ErrCorrupt {
			return fault, true // it is more precise: SQLite says "disk I/O error" of a full disk too
		}
		return faultOfCode(failed)
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return faultOfErrno(number)
	}
	return "", false
}

func faultOfCode(failed sqlite3.Error) (StorageFault, bool) {
	switch failed.Code {
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrFormat:
		return FaultCorrupt, true
	case sqlite3.ErrFull:
		return FaultFull, true
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return FaultLocked, true
	case sqlite3.ErrReadonly:
		if failed.ExtendedCode == sqlite3.ErrReadonlyDbMoved {
			return FaultReplaced, true
		}
		return FaultIO, true
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen, sqlite3.ErrPerm:
		return FaultIO, true
	}
	return "", false
}

func faultOfErrno(number syscall.Errno) (StorageFault, bool) {
	switch number {
	case syscall.ENOSPC, syscall.EDQUOT:
		return FaultFull, true
	case syscall.EIO, syscall.EROFS, syscall.ENXIO, syscall.ENODEV, syscall.ESTALE, syscall.EACCES, syscall.EPERM, syscall.ENOENT, syscall.ENOTDIR:
		return FaultIO, true
	}
	return "", false
}
