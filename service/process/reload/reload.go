// Package reload keeps a value current that is read from files, such as a certificate, a
// password or a list of keys, so that replacing a file needs no restart.
package reload

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Interval is the minimum time between two reads of a file. A replaced file takes effect within
// this time, on the next use of the value.
const Interval = time.Second

// A Value is read from one or more files. It is safe for concurrent use.
type Value[T any] struct {
	paths  []string
	parse  func(contents [][]byte) (T, error)
	report func(error)

	current atomic.Pointer[T]
	checked atomic.Int64 // when the files were last read, in nanoseconds since the epoch

	mu       sync.Mutex // held while the files are read
	contents [][]byte   // of the last attempt, whether or not they could be parsed
	failed   bool       // the last attempt could not read a file
}

// Open reads the files and parses their contents, in the order of the paths. It returns an
// error if a file can't be read or parse rejects the contents. Later failures go to report,
// once for each change of the files, and leave the value as it was.
func Open[T any](parse func(contents [][]byte) (T, error), report func(error), paths ...string) (*Value[T], error) {
	v := &Value[T]{paths: paths, parse: parse, report: report}
	contents, err := v.read()
	if err != nil {
		return nil, err
	}
	value, err := parse(contents)
	if err != nil {
		return nil, err
	}
	v.contents = contents
	v.current.Store(&value)
	v.checked.Store(time.Now().UnixNano())
	return v, nil
}

// Get returns the value of the files as they are now, or were at most [Interval] ago. One
// caller at a time reads the files; the others get the value that is known.
func (v *Value[T]) Get() T {
	now := time.Now().UnixNano()
	if now-v.checked.Load() >= int64(Interval) && v.mu.TryLock() {
		v.refresh()
		v.checked.Store(now)
		v.mu.Unlock()
	}
	return *v.current.Load()
}

func (v *Value[T]) refresh() {
	contents, err := v.read()
	if err != nil {
		if !v.failed {
			v.report(fmt.Errorf("%w; the previous content stays in effect", err))
		}
		v.failed = true
		return
	}
	v.failed = false
	if equal(contents, v.contents) {
		return
	}
	v.contents = contents
	value, err := v.parse(contents)
	if err != nil {
		v.report(fmt.Errorf("%w; the previous content stays in effect", err))
		return
	}
	v.current.Store(&value)
}

func (v *Value[T]) read() ([][]byte, error) {
	contents := make([][]byte, len(v.paths))
	for i, path := range v.paths {
		var err error
		if contents[i], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

func equal(a, b [][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
