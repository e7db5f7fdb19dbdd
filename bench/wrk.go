package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed requests.lua
var script string

// A measurement is the result of one run of wrk.
type measurement struct {
	perSecond float64
	p50, p99  time.Duration
	requests  int
	// failed is the number of answers whose status is not a success.
	failed int
}

// runWrk sends a load over the given number of connections for the given duration. salt makes
// the numbers in the bodies differ from those of all other runs.
func runWrk(ctx context.Context, dir, url string, l load, connections int, d time.Duration, salt int) (m measurement, err error) {
	lua, targets := filepath.Join(dir, "requests.lua"), filepath.Join(dir, "targets")
	if err := errors.Join(
		os.WriteFile(lua, []byte(script), 0o600),
		os.WriteFile(targets, []byte(strings.Join(l.targets, "\n")+"\n"), 0o600),
	); err != nil {
		return m, err
	}
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "wrk", "--latency", "--timeout", "30s",
		"-t", strconv.Itoa(min(2, connections)), "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%ds", int(d.Seconds())), "-s", lua, url)
	cmd.Env = append(os.Environ(), "BENCH_METHOD="+l.method, "BENCH_TARGETS="+targets, "BENCH_BODY="+l.body, "BENCH_SALT="+strconv.Itoa(salt), "BENCH_TYPE="+l.contentType)
	i := 0
	for name, value := range l.header {
		cmd.Env = append(cmd.Env, fmt.Sprintf("BENCH_HEADER_%d=%s: %s", i, name, value))
		i++
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return m, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	return parseWrk(string(out))
}

var summary = regexp.MustCompile(`(?m)^BENCH (\{.*\})$`)

// parseWrk reads the line that the script writes at the end.
func parseWrk(out string) (m measurement, err error) {
	found := summary.FindStringSubmatch(out)
	if found == nil {
		return m, fmt.Errorf("wrk wrote no summary:\n%s", out)
	}
	var s struct {
		Requests, Microseconds, P50, P99, Failed float64
	}
	if err := json.Unmarshal([]byte(found[1]), &s); err != nil {
		return m, fmt.Errorf("the summary of wrk: %w: %s", err, found[1])
	}
	if s.Microseconds <= 0 || s.Requests <= 0 {
		return m, fmt.Errorf("wrk got no answer:\n%s", out)
	}
	return measurement{
		perSecond: (s.Requests - s.Failed) / s.Microseconds * 1e6,
		p50:       time.Duration(s.P50) * time.Microsecond,
		p99:       time.Duration(s.P99) * time.Microsecond,
		requests:  int(s.Requests - s.Failed),
		failed:    int(s.Failed),
	}, nil
}
