package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "costs:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("costs", flag.ContinueOnError)
	flags.SetOutput(stderr)
	update := flags.Bool("update", false, "set the limits from what is measured now")
	root := flags.String("root", ".", "the repository's folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	path := filepath.Join(*root, "bench", "costs", "limits.txt")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	limits, err := parseLimits(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	measured, err := measure(*root, limits, stderr)
	if err != nil {
		return err
	}
	if *update {
		return os.WriteFile(path, []byte(updated(string(text), measured)), 0o644) //nolint:gosec // the file is in the repository
	}
	return check(stdout, limits, measured)
}

// check writes a line for each limit, and returns an error if one is exceeded.
func check(w io.Writer, limits []limit, measured map[key]float64) error {
	over := 0
	for _, l := range limits {
		got, ok := measured[l.key]
		verdict := "ok"
		switch {
		case !ok:
			return fmt.Errorf("%s %s reports no %s: does the benchmark still exist?", l.pkg, l.benchmark, l.unit)
		case got > l.most:
			verdict = "TOO MUCH"
			over++
		case got < 0.8*l.most-20:
			verdict = "ok; the limit can come down: `make costs-update` does that"
		}
		if _, err := fmt.Fprintf(w, "%-12s %-22s %10.4g %-16s at most %10.4g  %s\n", l.pkg, l.benchmark, got, l.unit, l.most, verdict); err != nil {
			return err
		}
	}
	if over > 0 {
		return fmt.Errorf("%d costs are over their limits. Find out why with `go test -run '^$' -bench NAME -benchmem -memprofile mem.out`. If the cost is worth it, run `make costs-update`, and say in the commit what it buys", over)
	}
	return nil
}
