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

// What goes in comes out, whichever of the two is ahead, and nothing is left.
func TestSpool(t *testing.T) {
	before := openFiles(t)
	dir := t.TempDir()
	for _, size := range []int{0, 1, 1000, maxMemory, maxMemory + 1, 5 * maxMemory} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rand.Uint32())
		}
		for _, atOnce := range []bool{true, false} { // written before it is read, or meanwhile
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
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
			s.Discard()
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, before there were %d", after, before)
	}
}

// A spool whose reader keeps up uses its file from the start again.
func TestSpoolDoesNotGrowForEver(t *testing.T) {
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
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

func TestSpoolThatIsFull(t *testing.T) {
	s := New(t.TempDir())
	defer s.Discard()
	if _, err := s.Write(make([]byte, 2*maxMemory)); err != nil || s.Full() {
		t.Error("it is full too soon")
	}
	s.wrote = maxBytes // as if
	if !s.Full() {
		t.Error("it is never full")
	}
}

func TestSpoolWithoutAFolder(t *testing.T) {
	s := New(t.TempDir() + "/missing")
	defer s.Discard()
	if _, err := s.Write(make([]byte, maxMemory)); err != nil {
		t.Errorf("memory would do: %v", err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
