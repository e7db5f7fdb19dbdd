package spool

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// openFiles counts this process's file descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err) // not Linux
	}
	return len(all)
}

// A spool returns what was written to it, whether the writer or the reader is ahead, and leaves
// nothing behind.
func TestSpool(t *testing.T) {
	before := openFiles(t)
	dir := t.TempDir()
	for _, size := range []int{0, 1, 1000, maxMemory, maxMemory + 1, 5 * maxMemory} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rand.Uint32())
		}
		for _, atOnce := range []bool{true, false} { // written before it is read, or at the same time
			s := New(dir)
			written := make(chan error, 1)
			write := func() {
				defer s.End()
				for rest := want; len(rest) > 0; {
					n := min(len(rest), 1+rand.IntN(20_000))
					if _, err := s.Write(rest[:n]); err != nil {
						written <- err
						return
					}
					rest = rest[n:]
				}
				written <- nil
			}
			if atOnce {
				write()
			} else {
				go write()
			}
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: got %d, %v, want the bytes that were written", size, len(got), err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
			s.Discard()
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("got leftovers %v, %v, want none", left, err)
	}
	if after := openFiles(t); after > before {
		t.Errorf("got %d open files, want at most %d", after, before)
	}
}

// A spool whose reader keeps up reuses its file from the start.
func TestSpoolDoesNotGrowForever(t *testing.T) {
	s := New(t.TempDir())
	defer s.Discard()
	piece := make([]byte, maxMemory)
	for range 20 {
		for range 2 {
			if _, err := s.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(s, make([]byte, 2*maxMemory)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := s.file.Stat(); err != nil || info.Size() > 4*maxMemory {
		t.Errorf("got a file of %d bytes, %v, want at most 4 times maxMemory", info.Size(), err)
	}
}

func TestSpoolThatIsFull(t *testing.T) {
	s := New(t.TempDir())
	defer s.Discard()
	if _, err := s.Write(make([]byte, 2*maxMemory)); err != nil || s.Full() {
		t.Error("got an error or a full spool, want room for more")
	}
	s.wrote = maxBytes // as if they had been written
	if !s.Full() {
		t.Error("got a spool with room for more, want a full one")
	}
}

func TestSpoolWithoutAFolder(t *testing.T) {
	s := New(t.TempDir() + "/missing")
	defer s.Discard()
	if _, err := s.Write(make([]byte, maxMemory)); err != nil {
		t.Errorf("got %v for what fits into memory, want no error", err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
}
