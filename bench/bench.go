package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/report"
)

// A bench measures rows. It builds each program at its first use.
type bench struct {
	options
	dir      string
	log      io.Writer
	programs *process.Programs
	// salt is different for each measurement, so that no two write the same unique values.
	salt int
	big  *largeStore // nil until a row needs it
}

// run measures the rows one after another. If it returns an error, it also returns the results
// so far.
func (b *bench) run(ctx context.Context, wanted []row) (results, error) {
	found, began := results{}, time.Now()
	defer b.closeLarge()
	m := report.Describe(ctx)
	for _, r := range wanted {
		one := result{At: time.Now().UTC().Truncate(time.Second), Commit: m.Commit, Machine: m.String(), Command: b.command}
		if why := b.cannot(r, time.Since(began)); why != "" {
			one.Missing = why
		} else {
			one.Samples = map[string][]sample{}
			err := r.run(b, ctx, func(subject string, s sample) {
				one.Samples[subject] = append(one.Samples[subject], s)
				fmt.Fprintf(b.log, "%4.0f s  %s: %s %.4g %s, p99 %.3g ms, CPU %.0f us\n", time.Since(began).Seconds(), r.name, subject, s.Value, r.unit, s.P99, s.CPU)
			})
			if errors.Is(err, errMissing) {
				one.Missing = err.Error()
			} else if err != nil {
				return found, fmt.Errorf("%s: %w", r.name, err)
			}
			if err := complete(r, one); err != nil {
				return found, fmt.Errorf("%s: %w", r.name, err)
			}
		}
		if one.Missing != "" {
			one.Samples = nil
			fmt.Fprintf(b.log, "%s: %s\n", r.name, one.Missing)
		}
		found[r.name] = one
	}
	return found, nil
}

func (b *bench) cannot(r row, elapsed time.Duration) string {
	if elapsed > b.budget {
		return fmt.Sprintf("not measured: the budget of %s was used up", b.budget)
	}
	if r.missing != nil {
		return r.missing()
	}
	return ""
}

// complete returns an error unless a row recorded exactly the subjects that it names.
func complete(r row, found result) error {
	if found.Missing != "" {
		return nil
	}
	for _, name := range r.subjects {
		if len(found.Samples[name]) == 0 {
			return fmt.Errorf("nothing was recorded for %s", name)
		}
	}
	for name := range found.Samples {
		if !slices.Contains(r.subjects, name) {
			return fmt.Errorf("%s was recorded, which the row does not name", name)
		}
	}
	return nil
}

// newDir returns a new folder for one run of a subject.
func (b *bench) newDir() string {
	b.salt++
	return filepath.Join(b.dir, fmt.Sprintf("run-%d", b.salt))
}
