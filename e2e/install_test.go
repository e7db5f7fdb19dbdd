package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// TestBuildInstructions runs the block of the installation guide that builds the programs.
func TestBuildInstructions(t *testing.T) {
	script := marked(t, filepath.Join(howTo, "install.md"), "build")
	if !strings.Contains(script, "bin/") {
		t.Fatalf("got the block %q, want one that builds into bin/", script)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script, "bin/", t.TempDir()+"/"))
	cmd.Dir = cluster.Root(t)
	cmd.Env = append(os.Environ(), "GOFLAGS=") // as in a shell without the settings of the Makefile
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("got %v, want success\n%s", err, out)
	}
	for _, program := range []string{"clusterlite ", "clusterlite-command ", "clusterlite-query "} {
		if !strings.Contains(string(out), program) {
			t.Errorf("got no version of %s in\n%s", program, out)
		}
	}
}
