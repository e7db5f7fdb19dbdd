package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/report"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options define what is measured, and for how long.
type options struct {
	rounds   int
	duration time.Duration
	// entities is the size of a small store, and users the size of a large one.
	entities, users int
	budget          time.Duration
	only            *regexp.Regexp
	quick           bool
	// profiles is the folder for CPU profiles of ClusterLite under load. It may be empty.
	profiles string
	// render writes the report from the results of earlier runs.
	render bool
	// docs is the folder of the report. Empty means that the report is printed.
	docs string
	// command is the command line of this run.
	command string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "serve" { // this program also serves the limit and the naive design
		return subjects.Serve(ctx, args[1:])
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	before := results{}
	if o.docs != "" {
		if before, err = report.ReadResults(filepath.Join(o.docs, report.ResultsFile)); err != nil {
			return err
		}
	}
	all := rows()
	if o.render {
		return report.WriteDocs(o.docs, shown(all), before, subjectsText)
	}
	found, err := measureRows(ctx, o, all, stderr)
	if o.docs == "" {
		return errors.Join(report.Write(stdout, shown(chosen(all, o.only, o.quick)), found, subjectsText), err)
	}
	after := before.Merged(found)
	return errors.Join(err, after.Write(filepath.Join(o.docs, report.ResultsFile)), report.WriteDocs(o.docs, shown(all), after, subjectsText))
}

func measureRows(ctx context.Context, o options, all []row, log io.Writer) (results, error) {
	wanted := chosen(all, o.only, o.quick)
	if len(wanted) == 0 {
		return nil, fmt.Errorf("no row matches %s", o.only)
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errors.New("wrk is missing: install the package wrk")
	}
	dir, err := os.MkdirTemp("", "clusterlite-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if o.profiles != "" {
		if err := errors.Join(os.MkdirAll(o.profiles, 0o750), os.Setenv("CLUSTERLITE_PPROF", "true")); err != nil {
			return nil, err
		}
	}
	b := &bench{options: o, dir: dir, log: log, programs: process.NewPrograms(dir, log)}
	return b.run(ctx, wanted)
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; each measures all subjects of a row once")
	flags.DurationVar(&o.duration, "duration", 2*time.Second, "how long each measurement takes")
	flags.IntVar(&o.entities, "entities", 10_000, "entities of a small store")
	flags.IntVar(&o.users, "large", 1_000_000, "entities of a large store")
	flags.DurationVar(&o.budget, "budget", 28*time.Minute, "start no other row after this time; rows that are left keep their last results")
	flags.BoolVar(&o.quick, "quick", false, "leave out the rows that take long: those of a cluster and of a large store")
	flags.BoolVar(&o.render, "render", false, "measure nothing, and write the report again from the results of earlier runs")
	flags.StringVar(&o.docs, "docs", "", "write benchmarks.md and its plots to this folder, and keep the results there; without it the report is printed")
	flags.StringVar(&o.profiles, "profiles", "", "write CPU profiles of ClusterLite under each load to this folder")
	only := flags.String("only", ".", "measure only the rows whose name matches this regular expression, without regard to case")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.only, err = regexp.Compile("(?i)" + *only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.rounds < 1 || o.duration < time.Second || o.entities < 100 || o.users < 1000 {
		return o, errors.New("at least one round, one second, 100 entities of a small store and 1000 of a large one are needed")
	}
	if o.render && o.docs == "" {
		return o, errors.New("-render needs -docs")
	}
	o.command = strings.Join(append([]string{"go run ./bench"}, args...), " ")
	return o, nil
}
