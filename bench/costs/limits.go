package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A key names a cost: the value that a benchmark of a package reports in a unit.
type key struct{ pkg, benchmark, unit string }

// A limit is the maximum of a cost.
type limit struct {
	key
	most float64
}

// parseLimits reads the table: package, benchmark, unit and limit, separated by blanks. Lines
// that begin with # are comments.
func parseLimits(text string) (all []limit, err error) {
	seen := map[key]bool{}
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) != 4 {
			return nil, fmt.Errorf("line %d: got %d fields, want package, benchmark, unit and limit", n+1, len(fields))
		}
		l := limit{key: key{fields[0], fields[1], fields[2]}}
		if l.most, err = strconv.ParseFloat(fields[3], 64); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if seen[l.key] {
			return nil, fmt.Errorf("line %d: %s %s has two limits for %s", n+1, l.pkg, l.benchmark, l.unit)
		}
		seen[l.key] = true
		all = append(all, l)
	}
	return all, nil
}

// updated returns the table with limits a little above the measured costs. Comments stay.
func updated(text string, measured map[key]float64) string {
	lines := strings.Split(text, "\n")
	for n, line := range lines {
		fields := strings.Fields(line)
		if len(fields) != 4 || strings.HasPrefix(line, "#") {
			continue
		}
		if got, ok := measured[key{fields[0], fields[1], fields[2]}]; ok {
			lines[n] = fmt.Sprintf("%-12s %-22s %-16s %g", fields[0], fields[1], fields[2], allowed(fields[2], got))
		}
	}
	return strings.Join(lines, "\n")
}

// allowed returns the limit for a measured cost: three per cent above it, rounded up. The limit
// for a cost of zero is zero, except for compiled statements: a pool that opens another
// connection in the middle of a benchmark compiles a few.
func allowed(unit string, measured float64) float64 {
	most := math.Ceil(measured * 1.03)
	if unit == "prepared/1000op" {
		most += 20
	}
	return most
}
