package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// asProgram makes the test binary act as clusterlite, for shells that run it.
const asProgram = "TEST_AS_CLUSTERLITE"

func TestMain(m *testing.M) {
	servicetest.ClearSettings()
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns a folder that contains clusterlite, and the environment to run it in.
func program(t *testing.T) (dir string, env []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "clusterlite")); err != nil {
		t.Fatal(err)
	}
	return dir, append(os.Environ(), asProgram+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
}

// The test runs bash itself, with the script that the program prints.
func TestCompletionInBash(t *testing.T) {
	dir, env := program(t)
	for line, want := range map[string][]string{
		"clusterlite ":                    {"serve", "snapshot", "status", "completion"},
		"clusterlite sn":                  {"snapshot"},
		"clusterlite snapshot ":           {"create", "list", "restore", "append", "prune"},
		"clusterlite snapshot create --":  {"--data-dir", "--node", "--kafka-brokers"},
		"clusterlite serve --http":        {"--http-addr"},
		"clusterlite serve --log-format ": {"text", "json"},
		"clusterlite status --wat":        {"--watch"},
	} {
		// Bash runs the command after -C in this way.
		script := `source <(clusterlite completion bash)
spec=$(complete -p clusterlite) && command=$(sed "s/.* -C '\(.*\)' clusterlite/\1/" <<<"$spec")
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9 $command clusterlite "${1##* }"`
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", script, "bash", line)
		cmd.Dir, cmd.Env = dir, env
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%q: got %v, want success: %s", line, err, stderr.String())
		}
		got := strings.Fields(stdout.String())
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%q: got %q, want %q among them", line, got, w)
			}
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	for shell, part := range map[string]string{"bash": "complete -o default", "zsh": "bashcompinit", "fish": "complete -c clusterlite"} {
		var out bytes.Buffer
		if err := cli.Run(t.Context(), []string{"completion", shell}, &out, io.Discard); err != nil || !strings.Contains(out.String(), part) {
			t.Errorf("%s: got %q, %v, want %q in it", shell, out.String(), err, part)
		}
	}
	clitest.CheckUsage(t, "completion", [][]string{{}, {"tcsh"}})
}

// The exit status of the program is 0 for success, 1 for failure, and 2 for a usage error.
func TestExitStatus(t *testing.T) {
	dir, env := program(t)
	for line, want := range map[string]int{
		"--help": 0, "--version": 0, "serve --help": 0, "completion bash": 0,
		"": 2, "snapshot": 2, "dance": 2, "serve --http-addr": 2, "serve --read-wait=abc": 2, "snapshot prune x --keep=0": 2, "snapshot list": 2,
		"snapshot list nowhere": 1, "healthcheck --admin-addr=127.0.0.1:1": 1, "verify --data-dir=nowhere": 1, "import nofile --collection=users": 1,
		"status --kafka-brokers=127.0.0.1:1 --admin=127.0.0.1:1": 1,
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "clusterlite"), strings.Fields(line)...)
		cmd.Dir, cmd.Env = dir, env
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // the exit status is checked below
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("clusterlite %s: exit status %d, want %d\n%s%s", line, got, want, stdout.String(), stderr.String())
		}
		if want > 0 && (stderr.Len() == 0 || stdout.Len() > 0) {
			t.Errorf("clusterlite %s: got the error output %q and the standard output %q, want only an error", line, stderr.String(), stdout.String())
		}
	}
}
