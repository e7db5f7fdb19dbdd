package subjects

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// An Effort is the duration of one run of a program, and its processor time.
type Effort struct{ Took, CPU time.Duration }

// Tool runs a subcommand of the operator's tool.
func (s *ClusterLite) Tool(ctx context.Context, args ...string) (Effort, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, s.Program, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return Effort{}, fmt.Errorf("clusterlite %s: %w\n%s", args[0], err, out)
	}
	return Effort{time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}
