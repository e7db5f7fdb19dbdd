//go:build !linux && !darwin

package diskspace

import "errors"

// Of returns an error, because this system is not supported.
func Of(string) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported }
