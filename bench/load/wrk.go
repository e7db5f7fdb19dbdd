package load

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

// A Measurement is the result of one run of wrk.
type Measurement struct {
	PerSecond float64
	P50, P99  time.Duration
	Requests  int
	// Failed is the number of answers whose status is not a success.
	Failed int
}

// RunWrk sends requests over the given number of connections for the given duration. salt makes
// the numbers in the bodies differ from those of all other runs.
func RunWrk(ctx context.Context, dir, url string, r Requests, connections int, d time.Duration, salt int) (m Measurement, err error) {
	lua, targets := filepath.Join(dir, "requests.lua"), filepath.Join(dir, "targets")
	if err := errors.Join(
		os.WriteFile(lua, []byte(script), 0o600),
		os.WriteFile(targets, []byte(strings.Join(r.Targets, "\n")+"\n"), 0o600),
	); err != nil {
		return m, err
	}
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "wrk", "--latency", "--timeout", "30s",
		"-t", strconv.Itoa(min(2, connections)), "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%ds", int(d.Seconds())), "-s", lua, url)
	cmd.Env = append(os.Environ(), "BENCH_METHOD="+r.Method, "BENCH_TARGETS="+targets, "BENCH_BODY="+r.Body, "BENCH_SALT="+strconv.Itoa(salt), "BENCH_TYPE="+r.ContentType)
	i := 0
	for name, value := range r.Header {
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
func parseWrk(out string) (m Measurement, err error) {
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
	return Measurement{
		PerSecond: (s.Requests - s.Failed) / s.Microseconds * 1e6,
		P50:       time.Duration(s.P50) * time.Microsecond,
		P99:       time.Duration(s.P99) * time.Microsecond,
		Requests:  int(s.Requests - s.Failed),
		Failed:    int(s.Failed),
	}, nil
}
