package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bulkOptions say how much is imported, and applied again.
type bulkOptions struct {
	rounds, entities int
	only             string
	// keep leaves the files of the last round in a folder, and profiles of each program.
	keep string
}

// runBulk measures an import and a rebuild against the bulk transaction.
func runBulk(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o := bulkOptions{}
	flags := flag.NewFlagSet("bench bulk", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; each measures all subjects once")
	flags.IntVar(&o.entities, "entities", 100_000, "entities that are imported; a rebuild applies ten sevenths as many events")
	flags.StringVar(&o.only, "only", "", "measure only the import, or only the rebuild")
	flags.StringVar(&o.keep, "profiles", "", "write CPU profiles to this folder")
	program := flags.String("program", "", "measure this program instead of building one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "clusterlite-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, log: stderr}
	s := &clusterLite{program: *program}
	if s.program == "" {
		s.program = filepath.Join(dir, "clusterlite")
		if err := b.goBuild(ctx, "..", s.program, "./clusterlite"); err != nil {
			return err
		}
	}
	var results []result
	if o.only != "rebuild" {
		r, err := b.compareImport(ctx, s, o)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		results = append(results, r)
	}
	if o.only != "import" {
		r, err := b.compareRebuild(ctx, s, o)
		if err != nil {
			return fmt.Errorf("rebuild: %w", err)
		}
		results = append(results, r...)
	}
	for _, r := range results {
		for _, name := range r.against {
			ratio, own, other := spreadOf(ratios(r.found[ownName], r.found[name])), spreadOf(rates(r.found[ownName])), spreadOf(rates(r.found[name]))
			fmt.Fprintf(stdout, "%s: %.0f/s, %s %.0f/s, ratio %.2f (%.2f to %.2f)\n", r.name, own.median, name, other.median, ratio.median, ratio.low, ratio.high)
		}
	}
	return nil
}

// compareImport measures an import of all entities in one request against the bulk
// transaction of the rows that it leaves, in turn.
func (b *bench) compareImport(ctx context.Context, s *clusterLite, o bulkOptions) (result, error) {
	r := result{benchmark: benchmark{name: fmt.Sprintf("NDJSON import of %d entities", o.entities), against: []string{bulkName}}, found: map[string][]measurement{}}
	for round := range o.rounds {
		if err := b.importOnce(ctx, s, o, &r); err != nil {
			return r, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return r, nil
}

func (b *bench) importOnce(ctx context.Context, s *clusterLite, o bulkOptions, r *result) error {
	dir, done, err := b.newDir()
	if err != nil {
		return err
	}
	defer done()
	p, err := s.startProfiled(ctx, dir, o)
	if err != nil {
		return err
	}
	defer p.stop()
	took, err := s.profiled(ctx, o, "import", func() (time.Duration, error) { return s.importLines(ctx, o.entities) })
	if err != nil {
		return err
	}
	model, err := readBulk(ctx, s.file(dir))
	if err != nil {
		return err
	}
	b.note(r, ownName, o.entities, took, p.cpu())
	return b.bulkOnce(ctx, dir, model, r)
}

// bulkOnce measures the limit, and adds it to the results.
func (b *bench) bulkOnce(ctx context.Context, dir string, model *bulk, results ...*result) error {
	took, err := model.run(ctx, dir)
	for _, r := range results {
		b.note(r, bulkName, model.rows(), took, 0)
	}
	return err
}

func (b *bench) note(r *result, subject string, rows int, took, cpu time.Duration) {
	m := measurement{perSecond: float64(rows) / took.Seconds()}
	r.found[subject] = append(r.found[subject], m)
	fmt.Fprintf(b.log, "%s: %s %.0f/s, %.1f us each", r.name, subject, m.perSecond, float64(took.Microseconds())/float64(rows))
	if cpu > 0 {
		fmt.Fprintf(b.log, ", %.1f us of processor time", float64(cpu.Microseconds())/float64(rows))
	}
	fmt.Fprintln(b.log)
}

func (b *bench) newDir() (dir string, done func(), err error) {
	b.salt++
	dir = filepath.Join(b.dir, fmt.Sprintf("run-%d", b.salt))
	return dir, func() { _ = os.RemoveAll(dir) }, os.MkdirAll(dir, 0o750)
}

// file is the read model of a store that was started in dir.
func (s *clusterLite) file(dir string) string { return filepath.Join(dir, "data", "projection.db") }

// startProfiled starts the store. The processor time of a start is small.
func (s *clusterLite) startProfiled(ctx context.Context, dir string, o bulkOptions) (*process, error) {
	if o.keep != "" {
		if err := os.Setenv("CLUSTERLITE_PPROF", "true"); err != nil {
			return nil, err
		}
	}
	return s.start(ctx, dir)
}

// profiled takes a CPU profile meanwhile, if one is wanted.
func (s *clusterLite) profiled(ctx context.Context, o bulkOptions, name string, do func() (time.Duration, error)) (time.Duration, error) {
	if o.keep == "" {
		return do()
	}
	profile := exec.CommandContext(ctx, "curl", "-sf", "-o", filepath.Join(o.keep, name+".pprof"), "http://"+s.admin+"/debug/pprof/profile?seconds=10")
	if err := profile.Start(); err != nil {
		return 0, err
	}
	took, err := do()
	if err := profile.Wait(); err != nil {
		return took, fmt.Errorf("take a profile: %w", err)
	}
	return took, err
}

// importLines creates entities by one import, and tells how long it took until the last
// result was there.
func (s *clusterLite) importLines(ctx context.Context, entities int) (time.Duration, error) {
	var lines bytes.Buffer
	for n := range entities {
		name, email := person(n)
		fmt.Fprintf(&lines, "{\"name\":%q,\"email\":%q}\n", name, email)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/users", &lines)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	began := time.Now()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	s.ids = nil
	results := bufio.NewScanner(response.Body)
	for results.Scan() {
		var result struct {
			Status int
			ID     string
		}
		if err := json.Unmarshal(results.Bytes(), &result); err != nil || result.Status != http.StatusCreated {
			return 0, fmt.Errorf("got %s", results.Bytes())
		}
		s.ids = append(s.ids, result.ID)
	}
	if len(s.ids) != entities {
		return 0, fmt.Errorf("got %d results of %d lines: %w", len(s.ids), entities, results.Err())
	}
	return time.Since(began), nil
}

// cpu is the processor time that the process has used, in hundredths of a second as Linux
// counts them; zero elsewhere.
func (p *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
