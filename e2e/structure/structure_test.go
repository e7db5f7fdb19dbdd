// Package structure_test checks how the code is divided into modules and packages: which
// package imports which, how large a package is, and whether the diagram in
// docs/explanation/design.md shows it. make lint runs it; make diagram updates the diagram.
package structure_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const project = "github.com/clusterlite/clusterlite/"

// part is a package, or a package and those below it, that share one rule for imports.
type part struct {
	// path is the longest prefix of a package's path that names the part.
	path string
	// imports are the other parts that it may import. Packages of one part may import each
	// other.
	imports []string
}

// parts lists all code from the bottom to the top, so that no part imports one below it in this
// list. A package belongs to the part with the longest path that contains it.
var parts = []part{
	{"events", nil},
	{"projections", []string{"events"}},

	{"service/process", []string{"events", "projections"}},
	{"service/httpclient", nil},
	{"service/httpapi", []string{"events", "projections", "service/process", "service/httpclient"}},
	{"service/node", []string{"events", "projections", "service/process", "service/httpclient", "service/httpapi"}},
	{"service/program", []string{"service/process", "service/httpapi", "service/node"}},
	{"service/servicetest", []string{"events", "projections", "service/process", "service/httpclient", "service/httpapi", "service/node"}},

	{"commands", []string{"events", "projections", "service/process", "service/httpapi", "service/node"}},
	{"commands/cmd", []string{"commands", "service/process", "service/httpapi", "service/node", "service/program"}},
	{"queryapi", []string{"events", "projections", "service/process", "service/httpapi", "service/node"}},
	{"queryapi/cmd", []string{"queryapi", "service/process", "service/httpapi", "service/node", "service/program"}},

	{"clusterlite/subcommand", []string{"events", "projections", "service/process", "service/httpapi", "service/node"}},
	{"clusterlite/operator", []string{"events", "projections", "service/process", "service/httpclient", "service/httpapi", "service/node", "clusterlite/subcommand"}},
	{"clusterlite/serve", []string{"events", "service/process", "service/httpapi", "service/node", "commands", "queryapi", "clusterlite/subcommand"}},
	{"clusterlite/cli", []string{"service/process", "clusterlite/subcommand", "clusterlite/operator", "clusterlite/serve"}},
	{"clusterlite/clitest", []string{"events", "service/process", "service/node", "service/servicetest", "clusterlite/cli"}},
	{"clusterlite", []string{"service/process", "clusterlite/cli"}},

	// These parts use the project from outside: over HTTP, as a program, or through go test.
	{"bench", nil},
	{"e2e", nil},
}

// modules lists the modules that each module may import, in tests too.
var modules = map[string][]string{
	"events": nil, "projections": {"events"}, "service": {"events", "projections"},
	"commands": {"events", "projections", "service"}, "queryapi": {"events", "projections", "service"},
	"clusterlite": {"events", "projections", "service", "commands", "queryapi"},
	"bench":       nil, "e2e": nil,
}

// Only the package that talks to Kafka imports the client library that Watermill uses. bench
// compares with a bare producer.
var saramaImporters = []string{"events/eventlog", "events/eventlog/internal/receipt", "bench/subjects"}

const (
	maxFiles = 15
	maxLines = 2500
)

// oversized lists packages that exceed the limits, with their maximum sizes. Add none, and let
// none grow.
var oversized = map[string]struct {
	files, lines int
	why          string
}{
	"events/eventlog": {18, 2800, "one client of Kafka: topic, publisher, subscription, access"},
}

// A goPackage is what go list reports about a package.
type goPackage struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
}

func (p goPackage) path() string { return strings.TrimPrefix(p.ImportPath, project) }

// list returns all packages of the workspace.
func list(t *testing.T) (all []goPackage) {
	t.Helper()
	args := []string{"list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports"}
	for _, m := range slices.Sorted(maps.Keys(modules)) {
		args = append(args, "./"+m+"/...")
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 50 {
		t.Fatalf("got %d packages, want at least 50", len(all))
	}
	return all
}

// ours returns the paths of the project's packages among imports.
func ours(imports []string) (paths []string) {
	for _, i := range imports {
		if path, ok := strings.CutPrefix(i, project); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

// partOf returns the part that a package belongs to.
func partOf(path string) (found part, ok bool) {
	for _, p := range parts {
		if (path == p.path || strings.HasPrefix(path, p.path+"/")) && len(p.path) >= len(found.path) {
			found, ok = p, true
		}
	}
	return found, ok
}

// Imports must follow the tables.
func TestImports(t *testing.T) {
	packages := list(t)
	for _, problem := range checkImports(packages) {
		t.Error(problem)
	}
}

func checkImports(packages []goPackage) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, p := range packages {
		from, ok := partOf(p.path())
		if !ok {
			report("%s: no part in the table contains it", p.path())
			continue
		}
		for _, path := range ours(p.Imports) {
			if to, _ := partOf(path); to.path != from.path && !slices.Contains(from.imports, to.path) {
				report("%s imports %s, but the part %s must not import %s", p.path(), path, from.path, to.path)
			}
		}
		module, _, _ := strings.Cut(p.path(), "/")
		for _, path := range ours(slices.Concat(p.Imports, p.TestImports, p.XTestImports)) {
			if to, _, _ := strings.Cut(path, "/"); to != module && !slices.Contains(modules[module], to) {
				report("%s imports %s, but the module %s must not import %s", p.path(), path, module, to)
			}
		}
	}
	return problems
}

// The table is ordered from the bottom to the top.
func TestPartsImportOnlyPartsBelow(t *testing.T) {
	var below []string
	for _, p := range parts {
		for _, to := range p.imports {
			if !slices.Contains(below, to) {
				t.Errorf("got a rule that %s may import %s, want only parts above it in the table", p.path, to)
			}
		}
		below = append(below, p.path)
	}
}

// The check finds an upward import, and an import between commands and queryapi.
func TestWrongImportsAreFound(t *testing.T) {
	for from, to := range map[string]string{
		"events/document": "projections", "commands": "queryapi", "queryapi/listing": "commands", "service/process/settings": "service/node",
		"clusterlite/operator/topic": "clusterlite/serve", "e2e/suite": "events", "nowhere": "events",
	} {
		if got := checkImports([]goPackage{{ImportPath: project + from, Imports: []string{project + to}}}); len(got) == 0 {
			t.Errorf("%s imports %s: got no problem, want one", from, to)
		}
	}
	if got := checkImports([]goPackage{{ImportPath: project + "events", XTestImports: []string{project + "service/servicetest"}}}); len(got) == 0 {
		t.Error("a test of events imports service: got no problem, want one")
	}
}

func TestOnlyTheLogImportsSarama(t *testing.T) {
	var got []string
	for _, p := range list(t) {
		if slices.Contains(p.Imports, "github.com/IBM/sarama") {
			got = append(got, p.path())
			if !slices.Contains(saramaImporters, p.path()) {
				t.Errorf("%s imports sarama: use events/eventlog, and extend it if necessary", p.path())
			}
		}
	}
	for _, path := range saramaImporters {
		if !slices.Contains(got, path) {
			t.Errorf("%s does not import sarama any more: remove it from saramaImporters", path)
		}
	}
}

// Settings have CheckSettings. Nothing calls a Validate method, as kong would: see package settings.
func TestSettingsHaveNoValidateMethod(t *testing.T) {
	for _, p := range list(t) {
		if !strings.HasPrefix(p.path(), "service/process/settings") && !strings.HasPrefix(p.path(), "clusterlite/") {
			continue
		}
		names, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(") Validate() error")) {
				t.Errorf("%s: got a method Validate, want CheckSettings", name)
			}
		}
	}
}

func TestSizeOfPackages(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t) {
		files, lines := size(t, p.Dir)
		limit, excepted := oversized[p.path()]
		seen[p.path()] = true
		switch over := files > maxFiles || lines > maxLines; {
		case excepted && !over:
			t.Errorf("%s is within the limits now: remove it from oversized", p.path())
		case excepted && (files > limit.files || lines > limit.lines):
			t.Errorf("%s: got %d files and %d lines, want at most %d and %d: move something to a package of its own", p.path(), files, lines, limit.files, limit.lines)
		case !excepted && over:
			t.Errorf("%s: got %d files and %d lines, want at most %d and %d: move something to a package of its own", p.path(), files, lines, maxFiles, maxLines)
		}
	}
	for path := range oversized {
		if !seen[path] {
			t.Errorf("%s does not exist any more: remove it from oversized", path)
		}
	}
}

// size counts the files of a package and their lines, without tests.
func size(t *testing.T, dir string) (files, lines int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files, lines = files+1, lines+bytes.Count(b, []byte("\n"))
	}
	return files, lines
}

var update = flag.Bool("update", false, "write the diagram")

const (
	design = "../../docs/explanation/design.md"
	begin  = "<!-- diagram of packages: make diagram -->\n"
	end    = "<!-- end of the diagram -->\n"
)

// The diagram must show the parts and their imports as they are.
func TestDiagram(t *testing.T) {
	text, err := os.ReadFile(design)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("got %s without the marks %q and %q", design, begin, end)
	}
	want := diagram(list(t))
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the diagram in %s is out of date: run make diagram: got\n%s\nwant\n%s", design, got, want)
	}
	if err := os.WriteFile(design, []byte(before+begin+want+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// diagram draws the parts and their imports. It leaves out imports that follow from others.
func diagram(packages []goPackage) string {
	edges := map[string]map[string]bool{}
	for _, p := range packages {
		from, _ := partOf(p.path())
		for _, path := range ours(p.Imports) {
			if to, _ := partOf(path); to.path != from.path {
				if edges[from.path] == nil {
					edges[from.path] = map[string]bool{}
				}
				edges[from.path][to.path] = true
			}
		}
	}
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		for next := range edges[from] {
			if next == to || reaches(next, to) {
				return true
			}
		}
		return false
	}
	id := func(path string) string { return strings.ReplaceAll(path, "/", "_") }
	var b strings.Builder
	b.WriteString("```mermaid\ngraph TD\n")
	for _, p := range slices.Backward(parts) {
		if len(edges[p.path]) == 0 && p.path != "events" && p.path != "service/httpclient" {
			continue // it imports nothing of the project
		}
		fmt.Fprintf(&b, "    %s[%s]\n", id(p.path), p.path)
	}
	for _, p := range slices.Backward(parts) {
		for _, to := range slices.Sorted(maps.Keys(edges[p.path])) {
			implied := false
			for other := range edges[p.path] {
				implied = implied || other != to && reaches(other, to)
			}
			if !implied {
				fmt.Fprintf(&b, "    %s --> %s\n", id(p.path), id(to))
			}
		}
	}
	b.WriteString("```\n")
	return b.String()
}
