//go:build linux || darwin

// Package diskspace reports the space of file systems.
package diskspace

import "syscall"

// Of returns the number of bytes that the file system of a folder has for ordinary
// users, free and in total.
func Of(dir string) (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize) //nolint:gosec,unconvert // its type depends on the platform
	return s.Bavail * block, (s.Blocks - s.Bfree + s.Bavail) * block, nil
}
