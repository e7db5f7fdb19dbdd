package process

import (
	"errors"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestMemoryIsBoundedByTheContainer(t *testing.T) {
	container := func() (uint64, error) { return 1 << 30, nil }
	for name, c := range map[string]struct {
		limit    memlimit.Provider
		variable string
		want     int64
	}{
		"a container with 1 GiB":           {container, "", 768 << 20},
		"no limit":                         {func() (uint64, error) { return 0, memlimit.ErrNoLimit }, "", math.MaxInt64},
		"no control groups":                {func() (uint64, error) { return 0, errors.New("none") }, "", 5 << 30},
		"a container, but the variable":    {container, "4GiB", 5 << 30},
		"the control group of this system": {memlimit.FromCgroup, "4GiB", 5 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", c.variable)
			if c.variable == "" {
				if err := os.Unsetenv("GOMEMLIMIT"); err != nil { // Setenv restores it
					t.Fatal(err)
				}
			}
			before := debug.SetMemoryLimit(5 << 30)
			defer debug.SetMemoryLimit(before)
			boundMemory(c.limit)
			if got := debug.SetMemoryLimit(-1); got != c.want {
				t.Errorf("got a limit of %d bytes, want %d", got, c.want)
			}
		})
	}
}
