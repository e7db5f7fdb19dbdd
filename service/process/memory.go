package process

import "github.com/KimMachineGun/automemlimit/memlimit"

// goShare is the part of a container's memory that Go may use. The rest is for what Go does not
// count: the page caches of SQLite, which is C code, and the stacks of its threads.
const goShare = 0.75

// boundMemory sets Go's memory limit (GOMEMLIMIT) to a share of the limit of the container or the
// control group. Go then collects garbage more often before the system would end the process. It
// does nothing if GOMEMLIMIT is set, because then the operator has decided, or if there is no limit.
func boundMemory(limit memlimit.Provider) {
	// Without a limit the process runs as it would without this function, so an error is not one of
	// the program.
	_, _ = memlimit.Set(memlimit.WithRatio(goShare), memlimit.WithProvider(limit))
}
