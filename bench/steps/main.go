// Command steps divides a CPU profile into the steps of a request. Each sample counts for the
// innermost function on its stack that belongs to a step, so the steps add up.
// docs/explanation/performance.md has its tables.
//
//	cd bench && go run . -profiles /tmp/profiles -only 'GET by id, eventual|POST, 64'
//	go run ./bench/steps -cpu 50.5 /tmp/profiles/get-eventual-64.pprof
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "steps:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("steps", flag.ContinueOnError)
	flags.SetOutput(stderr)
	cpu := flags.Float64("cpu", 0, "the processor time of one request in microseconds, as the benchmarks report it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one CPU profile")
	}
	file, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", flags.Arg(0), err)
	}
	return write(stdout, divide(p), *cpu)
}

// A rule assigns functions to a step, by the prefix of their names.
type rule struct{ step, prefix string }

const other = "other parts of the runtime"

// rules are tried in this order for each function, starting with the innermost function.
var rules = []rule{
	{"SQLite and its driver", "github.com/mattn/go-sqlite3"},
	{"database/sql", "database/sql"},
	{"database/sql", "github.com/jmoiron/sqlx"},
	{"embedded broker", "github.com/twmb/franz-go/pkg/kfake"},
	{"embedded broker", "github.com/clusterlite/clusterlite/events/embedded"},
	{"Kafka client", "github.com/twmb/franz-go/pkg/kgo"},
	{"Kafka client", "github.com/IBM/sarama"},
	{"Kafka client", "github.com/ThreeDotsLabs"},
	{"the log and its records", "github.com/clusterlite/clusterlite/events"},
	{"the projection's worker and reads", "github.com/clusterlite/clusterlite/projections"},
	{"commands", "github.com/clusterlite/clusterlite/commands"},
	{"reads of the API", "github.com/clusterlite/clusterlite/queryapi"},
	{"middleware", "github.com/clusterlite/clusterlite/service"},
	{"middleware", "github.com/labstack/echo"},
	{"HTTP server and its sockets", "net/http"},
	{"garbage collection", "runtime.gcBgMarkWorker"},
	{"garbage collection", "runtime.bgsweep"},
	{"garbage collection", "runtime.bgscavenge"},
	{"goroutine scheduler", "runtime.mcall"},
	{"goroutine scheduler", "runtime.mstart"},
	{"goroutine scheduler", "runtime.goexit0"},
}

// divide returns the fraction of the profile's time that each step takes. The fractions add up
// to 1.
func divide(p *profile.Profile) map[string]float64 {
	parts, total := map[string]float64{}, 0.0
	for _, s := range p.Sample {
		spent := float64(s.Value[len(s.Value)-1]) // time is the last value of a CPU profile
		parts[stepOf(s)] += spent
		total += spent
	}
	for step := range parts {
		parts[step] /= total
	}
	return parts
}

// stepOf finds the innermost function that belongs to a step.
func stepOf(s *profile.Sample) string {
	for _, location := range s.Location { // the innermost function comes first
		for _, line := range location.Line {
			if line.Function == nil {
				continue
			}
			for _, r := range rules {
				if strings.HasPrefix(line.Function.Name, r.prefix) {
					return r.step
				}
			}
		}
	}
	return other
}

func write(w io.Writer, parts map[string]float64, cpu float64) error {
	steps := slices.SortedFunc(maps.Keys(parts), func(a, b string) int { return cmp.Compare(parts[b], parts[a]) })
	if _, err := fmt.Fprintf(w, "| step | us | part |\n| --- | --- | --- |\n"); err != nil {
		return err
	}
	for _, step := range steps {
		if _, err := fmt.Fprintf(w, "| %s | %.1f | %.0f %% |\n", step, cpu*parts[step], 100*parts[step]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "| all of it | %.1f | 100 %% |\n", cpu)
	return err
}
