package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// A Disk is a file system of a given size, mounted on a folder.
type Disk struct {
	t   testing.TB
	dir string
}

// Mount mounts a disk with the given size in MiB on a folder until the test ends. It hides the
// content of the folder, and needs root.
func Mount(t testing.TB, dir string, mib int) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a disk: run it as root")
	}
	d := &Disk{t, dir}
	d.mount("size=" + fmt.Sprint(mib) + "m")
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Resize changes the size of the disk in MiB. The new size must have room for the content.
func (d *Disk) Resize(mib int) {
	d.t.Helper()
	d.mount(fmt.Sprintf("remount,size=%dm", mib))
}

// Used returns the used space in MiB, rounded up.
func (d *Disk) Used() int {
	d.t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	return int((s.Blocks-s.Bfree)*uint64(s.Bsize)>>20) + 1
}

func (d *Disk) mount(options string) {
	d.t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("mount: %v: %s", err, out)
	}
}
