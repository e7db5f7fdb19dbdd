package projections_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
)

// files returns the names of the files in a folder.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheFileIsALinkToTheServingFile(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	if err := r.node(dir, 0).at(r.append(user(uuid.NewString(), "Ada", ""))).close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"projection.1.db", "projection.db"}) {
		t.Errorf("got files %v, want projection.1.db and its link projection.db", got)
	}
	if target, err := os.Readlink(filepath.Join(dir, datafolder.FileName)); err != nil || target != "projection.1.db" {
		t.Errorf("got link target %s, %v, want projection.1.db", target, err)
	}
}

// A version without generations leaves an ordinary file in place of the link. If that node was
// killed, some rows are only in SQLite's log.
func TestAnOrdinaryFileIsAdopted(t *testing.T) {
	r, from, to := newRig(t), t.TempDir(), t.TempDir()
	p := r.append(user(uuid.NewString(), "Ada", ""))
	n := r.node(from, 0).at(p)
	for _, suffix := range []string{"", "-wal"} {
		copyFile(t, filepath.Join(from, "projection.1.db"+suffix), filepath.Join(to, datafolder.FileName+suffix))
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	set := usersOnly(t)
	opened, err := projections.Open(deadline(t), projections.Options{Dir: to, Log: r.log, Collections: set})
	if err != nil {
		t.Fatal(err)
	}
	if opened.Position() != p {
		t.Errorf("got position %d, want %d", opened.Position(), p)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, to); !slices.Equal(got, []string{"projection.1.db", "projection.db"}) {
		t.Errorf("got files %v, want projection.1.db and its link projection.db", got)
	}
}

func TestFilesThatACrashLeftAreRemoved(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	p := r.append(user(uuid.NewString(), "Ada", ""))
	if err := r.node(dir, 0).at(p).close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"projection.2.db", "projection.2.db-wal", "projection.7.db-shm", "projection.link", "projection.db-wal", "mine.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("projection.9.db", filepath.Join(dir, datafolder.PreviousName)); err != nil {
		t.Fatal(err)
	}
	if err := r.node(dir, 0).at(p).close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"mine.db", "projection.1.db", "projection.db"}) {
		t.Errorf("got files %v, want mine.db, projection.1.db and projection.db", got)
	}
}
