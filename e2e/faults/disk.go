package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A disk is a separate file system, stored in a file. A test can fill and freeze it.
type disk struct {
	t   testing.TB
	dir string
}

// diskSize is several times the size of the read model after an hour of work.
const diskSize = 512 << 20

// newDisk creates and mounts a disk. It needs root.
func newDisk(t testing.TB) *disk {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, diskSize); err != nil { // sparse: only written blocks take space
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-E", "lazy_itable_init=1", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("create a disk, which needs root and a loop device: %v: %v: %s", command, err, out)
		}
	}
	d := &disk{t, dir}
	t.Cleanup(func() {
		_ = exec.Command("fsfreeze", "-u", dir).Run() // it may be frozen
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	})
	return d
}

// fill leaves no byte free.
func (d *disk) fill() {
	f, err := os.Create(filepath.Join(d.dir, "ballast"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	// Use smaller and smaller pieces, because the file system needs an unknown number of blocks
	// for itself.
	for size, at := int64(diskSize), int64(0); size > 0; {
		switch err := syscall.Fallocate(int(f.Fd()), 0, at, size); {
		case err == nil:
			at += size
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case !errors.Is(err, syscall.EINTR):
			d.t.Fatal(err)
		}
	}
}

// empty removes the file that fill wrote.
func (d *disk) empty() {
	if err := os.Remove(filepath.Join(d.dir, "ballast")); err != nil {
		d.t.Error(err)
	}
}

// freeze blocks all writers until thaw.
func (d *disk) freeze() { d.run("-f") }
func (d *disk) thaw()   { d.run("-u") }

func (d *disk) run(option string) {
	if out, err := exec.Command("fsfreeze", option, d.dir).CombinedOutput(); err != nil {
		d.t.Errorf("fsfreeze %s: %v: %s", option, err, out)
	}
}

func (r *round) fillDisk() {
	r.run.disk.fill()
	r.pause(2*time.Second, 5*time.Second)
	r.run.disk.empty()
}

// hangDisk makes the disk slow by freezing it most of the time. This needs no device mapper.
func (r *round) hangDisk() {
	for range 10 {
		r.run.disk.freeze()
		r.pause(100*time.Millisecond, 800*time.Millisecond)
		r.run.disk.thaw()
		r.pause(10*time.Millisecond, 50*time.Millisecond)
	}
}
