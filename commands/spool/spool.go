// Package spool is a queue of bytes that outgrows memory.
package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

const (
	// maxMemory is the number of bytes that a spool keeps in memory before it uses a file.
	maxMemory = 256 << 10
	// maxBytes is the number of unread bytes from which a spool is full. Its file is in the data
	// folder, next to the read model, and must not fill the disk.
	maxBytes = 1 << 30
)

// A Spool is a queue of bytes. One goroutine writes, another one reads, and neither blocks the
// other: a client that sends all of its import before it reads any result must neither stop the
// import nor fill the memory.
type Spool struct {
	dir  string
	mu   sync.Mutex
	more *sync.Cond

	memory      []byte
	file        *os.File // nil while memory suffices
	read, wrote int64    // offsets in file
	ended       bool
}

// New returns an empty spool. Its file, if it needs one, is in dir. The caller must call
// [Spool.Discard].
func New(dir string) *Spool {
	s := &Spool{dir: dir}
	s.more = sync.NewCond(&s.mu)
	return s
}

// Write adds bytes to the queue.
func (s *Spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.more.Signal()
	if s.file == nil && len(s.memory)+len(p) <= maxMemory {
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

// open moves the bytes from memory to a file. The file has no name, so it disappears with the
// process.
func (s *Spool) open() error {
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

// Read takes bytes from the queue. It waits for the writer while the queue is empty, and returns
// io.EOF once the queue is empty after [Spool.End].
func (s *Spool) Read(p []byte) (int, error) {
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
		// The reader has caught up, so the file can be used from its start again.
		s.read, s.wrote = 0, 0
	}
	return n, err
}

// Full reports whether so many bytes are unread that the writer should stop.
func (s *Spool) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrote-s.read >= maxBytes
}

// End says that nothing more will be written.
func (s *Spool) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.more.Signal()
}

// Discard frees the memory and the disk space. The spool must not be used afterwards.
func (s *Spool) Discard() {
	if s.file != nil {
		_ = s.file.Close() // the file has no name, so closing it removes it
	}
}
