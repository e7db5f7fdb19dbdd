package faults

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestDisk(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "netns") {
		t.Skip("CLUSTERLITE_E2E does not name netns: it needs root too")
	}
	d := newDisk(t)
	write := func() error { return os.WriteFile(filepath.Join(d.dir, "file"), make([]byte, 64<<10), 0o600) }
	for range 3 {
		if err := write(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(d.dir, "file")); err != nil {
			t.Fatal(err)
		}
		d.fill()
		if err := write(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("a write to a full disk: got %v, want ENOSPC", err)
		}
		d.empty()
	}
	d.freeze()
	wrote := make(chan error, 1)
	go func() { wrote <- write() }()
	d.thaw()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}
