// Package process starts and stops programs: signals, exit statuses, and the order of what they
// run. The main packages and node import it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// A Run is a program. It returns when it is done, or soon after ctx ends.
type Run func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// ErrReported is returned by a program that has already reported its failure or its
// findings. Main then exits with status 1 and prints nothing.
var ErrReported = errors.New("the program already reported the error")

// Main runs a program until it is done, or until SIGTERM or SIGINT asks it to stop; a
// second signal ends it at once. It exits with 0 on success, 1 on failure, and 2 on a usage
// error.
func Main(run Run) {
	paceCollections()
	ensureThreads()
	boundMemory(memlimit.FromCgroup)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // from now on a signal has its usual effect
	os.Exit(exitStatus(run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

func exitStatus(err error, stderr io.Writer) int {
	var usage *settings.UsageError
	switch {
	case err == nil, errors.Is(err, settings.ErrHelp):
		return 0
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	case errors.Is(err, ErrReported):
		return 1
	case errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(stderr, "stopped:", err)
		return 1
	default:
		_, _ = fmt.Fprintln(stderr, "failed:", err)
		return 1
	}
}

// version is set when a release is built: -ldflags "-X …/process.version=v1.2.3".
var version string

// Version is the version of the program.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
