package main

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// operations is how often each benchmark does its work. It is large enough that one-time costs
// do not count.
const operations = "4000x"

// measure runs the benchmarks that have limits, package by package.
func measure(root string, limits []limit, log io.Writer) (map[key]float64, error) {
	measured := map[key]float64{}
	for _, pkg := range packages(limits) {
		fmt.Fprintln(log, "measuring", pkg)
		// The race detector is off, because it allocates too.
		cmd := exec.Command("go", "test", "-run", "^$", "-bench", pattern(limits, pkg), "-benchtime", operations, "-benchmem", "-cpu", "2", "./"+pkg)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w\n%s", pkg, err, out)
		}
		if err := parse(pkg, out, measured); err != nil {
			return nil, err
		}
	}
	return measured, nil
}

// parse reads each value of each benchmark from the output of go test.
func parse(pkg string, out []byte, measured map[key]float64) error {
	for r := benchfmt.NewReader(bytes.NewReader(out), pkg); r.Scan(); {
		switch found := r.Result().(type) {
		case *benchfmt.SyntaxError:
			return found
		case *benchfmt.Result:
			name, _ := strings.CutSuffix(found.Name.String(), "-2") // -cpu 2 adds this suffix
			for _, v := range found.Values {
				measured[key{pkg, name, v.Unit}] = v.Value
			}
		}
	}
	return nil
}

func packages(limits []limit) (all []string) {
	for _, l := range limits {
		if !slices.Contains(all, l.pkg) {
			all = append(all, l.pkg)
		}
	}
	return all
}

// pattern matches the benchmarks of a package that have limits. A sub-benchmark runs together
// with its siblings.
func pattern(limits []limit, pkg string) string {
	var names []string
	for _, l := range limits {
		name, _, _ := strings.Cut(l.benchmark, "/")
		if l.pkg == pkg && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "^Benchmark(" + strings.Join(names, "|") + ")$"
}
