package projections_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// converting is the environment variable that gives a child process the file to convert.
const converting = "CLUSTERLITE_TEST_CONVERTING"

// convertFile is what a child process runs.
func convertFile(path string) error { return offline.Convert(context.Background(), path) }

// At whatever moment a process is killed while it converts a file of version 1, the next start
// converts what it finds, and serves rows with the digests that version 1 stored.
func TestACrashDuringAConversionLosesNothing(t *testing.T) {
	made := filepath.Join(t.TempDir(), "made.db")
	want := manyInVersion1(t, made)
	const rounds, most = 4, 40
	var whole time.Duration // how long a conversion takes
	unfinished := 0
	for round := 0; round < rounds || unfinished == 0; round++ {
		if round == most {
			t.Fatalf("got no unfinished conversion in %d kills, want at least one", most)
		}
		path := filepath.Join(t.TempDir(), "projection.1.db")
		if err := sqlite.CopyWithJournals(made, path); err != nil {
			t.Fatal(err)
		}
		if killDuringConversion(t, path, whole*time.Duration(round%rounds)/rounds) {
			unfinished++
		}
		began := time.Now()
		if err := offline.Convert(t.Context(), path); err != nil {
			t.Fatalf("round %d: convert after the crash: %v", round, err)
		}
		if whole == 0 {
			whole = time.Since(began)
		}
		built, err := offline.Inspect(t.Context(), path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got := built.Collections["users"]; got != want {
			t.Errorf("round %d: got %+v, want %+v", round, got, want)
		}
		if differ, err := reads.UnlikeDigests(t.Context(), path, nil); err != nil || len(differ) > 0 {
			t.Errorf("round %d: got rows of %v that differ from their digests, %v, want none", round, differ, err)
		}
		if left, err := filepath.Glob(path + ".converting*"); err != nil || len(left) > 0 {
			t.Errorf("round %d: got leftover files %v, %v, want none", round, left, err)
		}
	}
}

// killDuringConversion starts a process that converts a file, and kills it some time after it started to
// write the new file. It returns true if the process left the old file in place.
func killDuringConversion(t *testing.T, path string, after time.Duration) (unfinished bool) {
	t.Helper()
	child := exec.CommandContext(deadline(t), os.Args[0])
	child.Env = append(os.Environ(), converting+"="+path)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = child.Wait()
	}()
	for !exists(t, path+".converting") && !closed(ended) {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-time.After(after): // the test varies the moment of the kill
	case <-ended:
	}
	_ = child.Process.Kill()
	<-ended
	if state := child.ProcessState; state.ExitCode() > 0 {
		t.Fatalf("got %v, want a conversion that was killed or succeeded", state)
	}
	return exists(t, path+".converting")
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// manyInVersion1 creates a file of version 1 with thousands of users, and returns their summary.
func manyInVersion1(t *testing.T, path string) (users digest.Summary) {
	t.Helper()
	script, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	declared, _ := set.Get("users")
	db, err := sqlite.Connect(t.Context(), path, 1, url.Values{"_synchronous": {"OFF"}})
	if err != nil {
		t.Fatal(err)
	}
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	run(string(script))
	var stored []byte
	if err := db.QueryRowContext(t.Context(), `SELECT living, digest FROM _digests WHERE collection = 'users'`).Scan(&users.Living, &stored); err != nil {
		t.Fatal(err)
	}
	users.Digest = digest.FromBytes(stored)
	var scratch []byte
	run(`BEGIN`)
	for n := range 10_000 {
		id, at, email := fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", 1_000+n), "2025-11-24T16:00:11.000Z", fmt.Sprintf("person-%d@example.com", n)
		e := events.Entity{ID: id, Version: 1, CreatedAt: at, UpdatedAt: at, Claims: declared.Claims(map[string]any{"email": email})}
		e.Rendered = fmt.Appendf(nil, `{"id":%q,"version":1,"created_at":%q,"updated_at":%q,"name":"Person","email":%q}`, id, at, at, email)
		run(`INSERT INTO users (id, version, created_at, updated_at, doc, _claims, _folded) VALUES (?, 1, ?, ?, ?, ?, '{}')`, id, at, at, string(e.Rendered), e.Claims[0])
		run(`INSERT INTO _claims VALUES ('users', ?, ?)`, e.Claims[0], id)
		users.Living++
		users.Digest.Add(digest.OfRow(e, e.Claims[0], &scratch))
	}
	run(`UPDATE _digests SET living = ?, digest = ? WHERE collection = 'users'`, users.Living, users.Digest.Bytes())
	run(`COMMIT`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return users
}
