package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
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
	out []byte
	err error
}{}

// Binary builds the programs once, with the race detector if CLUSTERLITE_E2E_RACE is set, and
// returns the path of the one with this name.
func Binary(t testing.TB, name string) string {
	t.Helper()
	root := Root(t)
	build.Do(func() {
		if build.dir, build.err = os.MkdirTemp("", "clusterlite-e2e-"); build.err != nil {
			return
		}
		args := []string{"build", "-o", build.dir + "/"}
		if os.Getenv("CLUSTERLITE_E2E_RACE") != "" {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, packages...)...)
		cmd.Dir = root
		build.out, build.err = cmd.CombinedOutput()
	})
	if build.err != nil {
		t.Fatalf("build: %v\n%s", build.err, build.out)
	}
	return filepath.Join(build.dir, name)
}

// Main runs the tests of a package and removes what they built. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	cleanup()
	os.Exit(code)
}

// cleanup removes the programs that Binary built.
func cleanup() {
	if build.dir != "" {
		_ = os.RemoveAll(build.dir) // a temporary folder
	}
}
