package commands

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
	for _, size := range []int{0, 1, 1000, spoolMemory, spoolMemory + 1, 5 * spoolMemory} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rand.Uint32())
		}
		for _, atOnce := range []bool{true, false} { // written before it is read, or meanwhile
			s := newSpool(dir)
			written := make(chan error, 1)
			write := func() {
				defer s.end()
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
			s.discard()
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
	s := newSpool(t.TempDir())
	defer s.discard()
	piece := make([]byte, spoolMemory)
	for range 20 {
		for range 2 {
			if _, err := s.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(s, make([]byte, 2*spoolMemory)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := s.file.Stat(); err != nil || info.Size() > 4*spoolMemory {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

func TestSpoolThatIsFull(t *testing.T) {
	s := newSpool(t.TempDir())
	defer s.discard()
	if _, err := s.Write(make([]byte, 2*spoolMemory)); err != nil || s.full() {
		t.Error("it is full too soon")
	}
	s.wrote = spoolFull // as if
	if !s.full() {
		t.Error("it is never full")
	}
}

func TestSpoolWithoutAFolder(t *testing.T) {
	s := newSpool(t.TempDir() + "/missing")
	defer s.discard()
	if _, err := s.Write(make([]byte, spoolMemory)); err != nil {
		t.Errorf("memory would do: %v", err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
