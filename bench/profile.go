package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

// profiled takes a CPU profile of our process while do runs, if the options set a folder for
// profiles. The folder keeps the last round of each load.
func (b *bench) profiled(ctx context.Context, s subjects.Subject, name string, d time.Duration, do func() error) error {
	own, ok := s.(*subjects.ClusterLite)
	if b.profiles == "" || !ok {
		return do()
	}
	taken := make(chan error, 1)
	go func() {
		status, profile, err := load.Send(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", own.Admin, int(d.Seconds())), "", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("take a profile: status %d: %s", status, profile)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(b.profiles, name+".pprof"), profile, 0o600)
		}
		taken <- err
	}()
	err := do()
	return errors.Join(err, <-taken)
}
