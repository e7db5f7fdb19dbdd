package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Root is the repository's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.work above the working folder")
	return ""
}

// packages are the main packages of the programs.
var packages = []string{"./clusterlite", "./commands/cmd/clusterlite-command", "./queryapi/cmd/clusterlite-query"}

var build = struct {
	sync.Once
	dir string
	err error
}{}

// Binary builds the programs once, with the race detector if CLUSTERLITE_E2E_RACE is set, and
// returns the path of the one with this name.
func Binary(t testing.TB, name string) string {
	t.Helper()
	root := Root(t)
	build.Do(func() { build.dir, build.err = buildPrograms(root) })
	if build.err != nil {
		t.Fatal(build.err)
	}
	return filepath.Join(build.dir, name)
}

// buildPrograms builds the programs into a new folder. If CLUSTERLITE_E2E_PROGRAMS names a
// folder, it builds them there: tests of other packages then find them, and Go does not link a
// program again that is up to date.
func buildPrograms(root string) (dir string, err error) {
	// No test reads debug information, and linking it takes time.
	args := []string{"build", "-tags", "sqlite_fts5,grpcnotrace", "-ldflags=-s -w"}
	kind := "plain"
	if os.Getenv("CLUSTERLITE_E2E_RACE") != "" {
		kind, args = "race", append(args, "-race")
	}
	if shared := os.Getenv("CLUSTERLITE_E2E_PROGRAMS"); shared != "" {
		dir = filepath.Join(shared, kind)
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return "", err
		}
		unlock, err := lock(filepath.Join(shared, kind+".lock"))
		if err != nil {
			return "", err
		}
		defer unlock()
	} else if dir, err = os.MkdirTemp("", "clusterlite-e2e-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", append(append(args, "-o", dir+"/"), packages...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
}

// lock waits until no other process holds the lock of a file.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing releases the lock
}

// Main runs the tests of a package and removes what they built. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	cleanup()
	os.Exit(code)
}

// cleanup removes the programs that Binary built, unless other packages use them too.
func cleanup() {
	if build.dir != "" && os.Getenv("CLUSTERLITE_E2E_PROGRAMS") == "" {
		_ = os.RemoveAll(build.dir) // a temporary folder
	}
}
