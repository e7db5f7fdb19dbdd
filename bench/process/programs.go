package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Programs builds programs, each at its first use.
type Programs struct {
	// Dir is the folder for the programs.
	Dir string

	log   io.Writer
	built map[string]string // the paths of the programs, by package
}

// NewPrograms returns a builder that writes programs to dir and a line about each to log.
func NewPrograms(dir string, log io.Writer) *Programs {
	return &Programs{Dir: dir, log: log, built: map[string]string{}}
}

// Own builds one of the programs of this project, and returns its path.
func (p *Programs) Own(ctx context.Context, pkg string) (string, error) {
	return p.Build(ctx, "..", pkg)
}

// OfModule builds a program of a module in exactly this version. It builds in the module's
// own folder, so it uses the dependencies that the module's authors chose.
func (p *Programs) OfModule(ctx context.Context, module, pkg string) (string, error) {
	dir, err := ModuleDir(ctx, module)
	if err != nil {
		return "", err
	}
	return p.Build(ctx, dir, pkg)
}

// ModuleDir downloads a module and returns its folder, which is read-only.
func ModuleDir(ctx context.Context, module string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return "", fmt.Errorf("download %s: %w\n%s", module, err, out)
	}
	var downloaded struct{ Dir string }
	err = json.Unmarshal(out, &downloaded)
	return downloaded.Dir, err
}

// Build builds the package pkg in dir, unless an earlier call has done so, and returns the path of
// the program.
func (p *Programs) Build(ctx context.Context, dir, pkg string) (string, error) {
	key := dir + " " + pkg
	if path, ok := p.built[key]; ok {
		return path, nil
	}
	path := filepath.Join(p.Dir, fmt.Sprintf("program-%d", len(p.built)))
	fmt.Fprintln(p.log, "building", pkg, "in", dir)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "sqlite_fts5,grpcnotrace", "-o", path, pkg)
	cmd.Dir = dir
	if dir != ".." {
		cmd.Env = append(os.Environ(), "GOWORK=off")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	p.built[key] = path
	return path, nil
}
