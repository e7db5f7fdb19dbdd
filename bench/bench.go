package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// A bench builds the subjects and measures them.
type bench struct {
	options
	dir  string
	log  io.Writer
	salt int
}

// A result is what the rounds of one benchmark found, by subject.
type result struct {
	benchmark
	found map[string][]measurement
}

func (b *bench) run(ctx context.Context) ([]result, error) {
	wanted := slices.DeleteFunc(slices.Clone(benchmarks), func(m benchmark) bool { return !b.only.MatchString(m.name) })
	if len(wanted) == 0 {
		return nil, fmt.Errorf("no benchmark is called %s", b.only)
	}
	subjects, err := b.build(ctx, wanted)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, m := range wanted {
		r, err := b.compare(ctx, m, subjects)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// build builds the subjects that the benchmarks name.
func (b *bench) build(ctx context.Context, wanted []benchmark) (map[string]subject, error) {
	subjects := map[string]subject{}
	needed := map[string]bool{ownName: true}
	for _, m := range wanted {
		for _, name := range m.against {
			needed[name] = true
		}
	}
	for name := range needed {
		var err error
		program := filepath.Join(b.dir, fmt.Sprintf("program-%d", len(subjects)))
		switch name {
		case ownName:
			subjects[name] = &clusterLite{program: program}
			err = b.goBuild(ctx, "..", program, "./clusterlite")
		case rqliteName:
			subjects[name] = &rqlite{program: program}
			err = b.buildModule(ctx, "github.com/rqlite/rqlite/v8@v8.36.0", program, "./cmd/rqlited")
		case pocketBaseName:
			subjects[name] = &pocketBase{program: program}
			err = b.buildModule(ctx, "github.com/pocketbase/pocketbase@v0.36.0", program, "./examples/base")
		case bareName, naiveName:
			subjects[name] = &limits{which: name}
		}
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", name, err)
		}
	}
	return subjects, nil
}

// buildModule builds a program of a module of exactly this version, in the module's own
// folder, so with the dependencies that its authors chose.
func (b *bench) buildModule(ctx context.Context, module, program, pkg string) error {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return fmt.Errorf("download %s: %w\n%s", module, err, out)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		return err
	}
	return b.goBuild(ctx, downloaded.Dir, program, pkg, "GOWORK=off")
}

func (b *bench) goBuild(ctx context.Context, dir, program, pkg string, env ...string) error {
	fmt.Fprintln(b.log, "building", pkg, "in", dir)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, pkg)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// compare measures the subjects of a benchmark in turn, round after round. Each starts with
// an empty store in each round, so that none is slowed by what was written before.
func (b *bench) compare(ctx context.Context, m benchmark, subjects map[string]subject) (result, error) {
	r := result{benchmark: m, found: map[string][]measurement{}}
	for round := range b.rounds {
		for _, name := range append([]string{ownName}, m.against...) {
			one, err := b.once(ctx, m, subjects[name])
			if err != nil {
				return r, fmt.Errorf("%s: %w", name, err)
			}
			r.found[name] = append(r.found[name], one)
			fmt.Fprintf(b.log, "%s, round %d of %d: %s %.0f/s, p99 %s\n", m.name, round+1, b.rounds, name, one.perSecond, one.p99)
		}
	}
	return r, nil
}

func (b *bench) once(ctx context.Context, m benchmark, s subject) (measurement, error) {
	b.salt++
	dir := filepath.Join(b.dir, fmt.Sprintf("run-%d", b.salt))
	defer os.RemoveAll(dir)
	p, err := s.start(ctx, dir)
	if err != nil {
		return measurement{}, err
	}
	defer p.stop()
	if err := s.fill(ctx, b.entities); err != nil {
		return measurement{}, fmt.Errorf("fill: %w", err)
	}
	l, ok := s.load(m.work)
	if !ok {
		return measurement{}, fmt.Errorf("it has no such load")
	}
	one, err := measure(ctx, dir, s.base(), l, m.connections, b.duration, b.salt)
	if err == nil && one.failed > 0 {
		err = fmt.Errorf("%d requests failed", one.failed)
	}
	return one, err
}
