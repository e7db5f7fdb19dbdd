package datafolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
)

// A Lock is a process's exclusive claim to a data folder. Two processes that wrote one
// projection would each take the other's rows for their own.
type Lock struct{ file *flock.Flock }

// LockedError is returned for a data folder that another process has locked.
type LockedError struct {
	Dir string
	// Holder is what the other process wrote about itself. It is "another process" if that
	// can't be read.
	Holder string
}

// Error says who holds the folder.
func (e *LockedError) Error() string {
	return fmt.Sprintf("the data folder %s is in use by %s: stop that process, or set a different --data-dir", e.Dir, e.Holder)
}

type lockHolder struct {
	PID   int       `json:"pid"`
	Node  string    `json:"node"`
	Since time.Time `json:"since"`
}

// LockExisting is [LockDir] for a data folder that must exist.
func LockExisting(dir, node string) (*Lock, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the data folder %s does not exist", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file, not a data folder", dir)
	}
	return LockDir(dir, node)
}

// LockDir creates the data folder if it is missing, and locks it for the node. It returns a
// [LockedError] if another process has it. The operating system releases the lock when the
// process ends, no matter how.
func LockDir(dir, node string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create the data folder %s: %w", dir, err)
	}
	path := filepath.Join(dir, "lock")
	file := flock.New(path)
	locked, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if !locked {
		return nil, &LockedError{Dir: dir, Holder: describeHolder(path)}
	}
	note, err := json.Marshal(lockHolder{PID: os.Getpid(), Node: node, Since: time.Now().UTC()})
	if err == nil {
		err = os.WriteFile(path, append(note, '\n'), 0o600)
	}
	if err != nil {
		_ = file.Unlock()
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	return &Lock{file}, nil
}

// maxSlots bounds the search of [LockSlot] for a free folder.
const maxSlots = 10_000

// LockSlot locks the first free subfolder of dir among 1, 2, 3 and so on, for the node name-1,
// name-2, name-3; it creates a missing folder. So any number of processes can share one parent
// folder, and later processes continue with the files of those that have ended. Safe to call
// from several processes at once.
func LockSlot(dir, name string) (lock *Lock, slot, node string, err error) {
	for n := 1; n <= maxSlots; n++ {
		slot, node = filepath.Join(dir, strconv.Itoa(n)), fmt.Sprintf("%s-%d", name, n)
		lock, err = LockDir(slot, node)
		if taken := (*LockedError)(nil); !errors.As(err, &taken) {
			return lock, slot, node, err
		}
	}
	return nil, "", "", fmt.Errorf("all %d slots of the data folder %s are in use", maxSlots, dir)
}

func describeHolder(path string) string {
	b, err := os.ReadFile(path) //nolint:gosec // the path is this node's own setting
	var h lockHolder
	if err != nil || json.Unmarshal(b, &h) != nil || h.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("node %s, process %d, since %s", h.Node, h.PID, h.Since.Format(time.RFC3339))
}

// Release unlocks the folder. The lock file remains, because its removal would race with the
// next process.
func (l *Lock) Release() error { return l.file.Unlock() }
