package commands

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

const (
	// spoolMemory is how much a spool keeps in memory before it uses a file.
	spoolMemory = 256 << 10
	// spoolFull is when a spool should get no more. Its file lies beside the read model.
	spoolFull = 1 << 30
)

// A spool is a queue of bytes without a bound: one goroutine writes, one reads. A
// client that first sends everything and reads then must not stop the import, nor fill
// the memory.
type spool struct {
	dir  string
	mu   sync.Mutex
	more *sync.Cond

	memory      []byte
	file        *os.File // nil as long as memory will do
	read, wrote int64    // offsets in file
	ended       bool
}

// newSpool makes a spool whose file, if it needs one, is in dir.
func newSpool(dir string) *spool {
	s := &spool{dir: dir}
	s.more = sync.NewCond(&s.mu)
	return s
}

// Write adds to the queue.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.more.Signal()
	if s.file == nil && len(s.memory)+len(p) <= spoolMemory {
		s.memory = append(s.memory, p...)
		return len(p), nil
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.WriteAt(p, s.wrote)
	s.wrote += int64(n)
	return n, err
}

// open moves what is in memory to a file that has no name any more: it is gone with the
// process.
func (s *spool) open() error {
	f, err := os.CreateTemp(s.dir, "import-*")
	if err != nil {
		return fmt.Errorf("buffer the results of an import: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("buffer the results of an import: %w", err), f.Close())
	}
	n, err := f.WriteAt(s.memory, 0)
	if err != nil {
		return errors.Join(fmt.Errorf("buffer the results of an import: %w", err), f.Close())
	}
	s.file, s.wrote, s.memory = f, int64(n), nil
	return nil
}

// Read takes from the queue. It waits for more; after end it returns io.EOF.
func (s *spool) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.memory) == 0 && s.read == s.wrote {
		if s.ended {
			return 0, io.EOF
		}
		s.more.Wait()
	}
	if s.file == nil {
		n := copy(p, s.memory)
		s.memory = append(s.memory[:0], s.memory[n:]...)
		return n, nil
	}
	n, err := s.file.ReadAt(p[:min(int64(len(p)), s.wrote-s.read)], s.read)
	s.read += int64(n)
	if err == nil && s.read == s.wrote {
		// All was read: the file need not grow for ever.
		s.read, s.wrote = 0, 0
	}
	return n, err
}

// full tells that the client has left so much unread that it should get no more.
func (s *spool) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrote-s.read >= spoolFull
}

// end tells that no more is written.
func (s *spool) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.more.Signal()
}

// discard frees what the spool holds. Nobody may use it any more.
func (s *spool) discard() {
	if s.file != nil {
		_ = s.file.Close() // it has no name, so it is gone
	}
}
