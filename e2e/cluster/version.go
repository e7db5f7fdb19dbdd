package cluster

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// ProgramsOf builds the programs of another version from this repository's history, and returns
// their folder. The programs report the version that the commit names.
func ProgramsOf(t testing.TB, commit string) string {
	t.Helper()
	source, programs := filepath.Join(t.TempDir(), "source"), t.TempDir()
	for _, args := range [][]string{
		{"git", "clone", "--quiet", "--no-checkout", Root(t), source},
		{"git", "-C", source, "checkout", "--quiet", commit},
		append([]string{"go", "build", "-C", source, "-ldflags", "-X github.com/clusterlite/clusterlite/service/process.version=" + commit, "-o", programs + "/"}, packages...),
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("build version %s: %v: %v\n%s", commit, args, err, out)
		}
	}
	return programs
}

// binary returns the path of a program in a folder. An empty folder means this version's
// programs.
func binary(t testing.TB, programs, name string) string {
	t.Helper()
	if programs == "" {
		return Binary(t, name)
	}
	return filepath.Join(programs, name)
}

// Install makes the next start use the programs in a folder. An empty folder means this
// version's programs.
func (p *Process) Install(programs string) {
	p.t.Helper()
	p.binary = binary(p.t, programs, filepath.Base(p.binary))
}
