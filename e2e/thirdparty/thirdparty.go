// Package thirdparty installs and runs programs of others, with which tests show that the store works
// with them.
package thirdparty

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deadline bounds one command, such as the installation of programs.
const deadline = 10 * time.Minute

// Run runs a command in a folder and returns its output. The test fails if the command fails or is
// missing.
func Run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "PYTHONDONTWRITEBYTECODE=1", "NO_COLOR=1", "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	// The processes that the command starts must not outlive the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// Installed returns the folder of the user's cache that belongs to a list of versions, with a copy of
// the list. If the folder is missing, install is called to install the programs in it, directly,
// because Python environments can't be moved. A marker file says that the folder is complete.
func Installed(t testing.TB, name, list string, install func(home string)) string {
	t.Helper()
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(text)
	home := filepath.Join(cache, "clusterlite-e2e", name+"-"+hex.EncodeToString(sum[:6]))
	complete := filepath.Join(home, "complete")
	if _, err := os.Stat(complete); err == nil {
		return home
	}
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, filepath.Base(list)), text, 0o644); err != nil {
		t.Fatal(err)
	}
	install(home)
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return home
}

// NPM installs the packages that package.json in a folder lists, and makes them available to the
// programs in that folder. It returns the folder of their commands.
func NPM(t testing.TB, dir string) (bin string) {
	t.Helper()
	home := Installed(t, "node", filepath.Join(dir, "package.json"), func(home string) {
		Run(t, home, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
	})
	modules := filepath.Join(home, "node_modules")
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(modules, ".bin")
}
