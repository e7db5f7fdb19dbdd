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
	"regexp"
	"syscall"
	"time"
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

// options say what is measured, and for how long.
type options struct {
	rounds   int
	duration time.Duration
	entities int
	only     *regexp.Regexp
	out      string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "serve" { // this program is also the limit and the naive design
		return serve(ctx, args[1:])
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return errors.New("wrk is missing: install the package wrk")
	}
	dir, err := os.MkdirTemp("", "clusterlite-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, log: stderr}
	results, err := b.run(ctx)
	if err != nil {
		return err
	}
	machine := describeMachine(ctx)
	if o.out == "" {
		return writeReport(stdout, machine, o, results)
	}
	file, err := os.Create(o.out)
	if err != nil {
		return err
	}
	if err := writeReport(file, machine, o, results); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; each measures all subjects of a case once")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "how long each measurement takes")
	flags.IntVar(&o.entities, "entities", 10_000, "entities that are there before reads are measured")
	flags.StringVar(&o.out, "out", "", "write the report to this file instead of printing it")
	only := flags.String("only", ".", "measure only the cases whose name matches this regular expression")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.rounds < 1 || o.duration < time.Second || o.entities < 100 {
		return o, errors.New("at least one round, one second and 100 entities are needed")
	}
	return o, nil
}
