package projections_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// appendUsers appends so many users that the file has pages for faults in the middle of it.
func (r *rig) appendUsers(users int) (end events.Position, ids []string) {
	r.t.Helper()
	for len(ids) < users {
		var batch []events.Event
		for range min(500, users-len(ids)) {
			ids = append(ids, uuid.NewString())
			batch = append(batch, user(ids[len(ids)-1], strings.Repeat("x", 500), ""))
		}
		end = r.append(batch...)
	}
	return end, ids
}

// until polls, since what is waited for is not told.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := deadline(t); !holds(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("%s: it never came", what)
		}
	}
}

// overwrite puts something else in the place of a part of a file.
func overwrite(t testing.TB, path string, from, to float64, with byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	start := int64(float64(info.Size())*from) / 4096 * 4096
	junk := make([]byte, int64(float64(info.Size())*to)-start)
	for i := range junk {
		junk[i] = with
	}
	if _, err := f.WriteAt(junk, start); err != nil {
		t.Fatal(err)
	}
}

// generationFile is the file that serves.
func generationFile(t testing.TB, dir string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// checkpointed has all rows be in the file itself, not in its write-ahead log.
func checkpointed(t testing.TB, dir string) {
	t.Helper()
	db, err := sql.Open("sqlite3", generationFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	until(t, "a checkpoint", func() bool { // while one runs in the background there is no other
		var busy, pages, copied int
		if err := db.QueryRowContext(deadline(t), `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &copied); err != nil {
			t.Fatal(err)
		}
		return busy == 0
	})
}

// readAll reads all entities, each on its own and in a list, and gives the error of the
// first that can't be read.
func readAll(n *node, ids []string) error {
	for _, id := range ids {
		if e, found, _, err := n.Entity(context.Background(), "users", id); err != nil || !found || e.Version != 1 {
			return errors.Join(err, fmt.Errorf("%s: found %v, %+v", id, found, e.Version))
		}
	}
	s, err := n.BeginRead(context.Background())
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	listed := 0
	if _, err := s.List(context.Background(), "users", query.Query{}, func([]byte) error { listed++; return nil }); err != nil {
		return err
	}
	if listed != len(ids) {
		return fmt.Errorf("%d of %d are listed", listed, len(ids))
	}
	return nil
}

func damagedFiles(t testing.TB, dir string) []string {
	t.Helper()
	kept, err := filepath.Glob(filepath.Join(dir, "projection.damaged-*.db"))
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// What happens to the files of a node that runs, and is repaired.
var faults = map[string]struct {
	do   func(t testing.TB, path string)
	kept int
}{
	"pages in the middle are zero":    {func(t testing.TB, path string) { overwrite(t, path, 0.1, 0.9, 0) }, 1},
	"pages in the middle are garbage": {func(t testing.TB, path string) { overwrite(t, path, 0.1, 0.9, 0xa7) }, 1},
	"the end is cut off":              {func(t testing.TB, path string) { truncate(t, path, 2) }, 1},
	"all is cut off":                  {func(t testing.TB, path string) { truncate(t, path, 1<<30) }, 1},
	"the file is deleted":             {func(t testing.TB, path string) { remove(t, path) }, 0},
	"-wal and -shm are deleted":       {func(t testing.TB, path string) { remove(t, path+"-wal"); remove(t, path+"-shm") }, 1},
	"-wal is deleted":                 {func(t testing.TB, path string) { remove(t, path+"-wal") }, 1},
	"-shm is deleted":                 {func(t testing.TB, path string) { remove(t, path+"-shm") }, 1},
	"another file is put in its place": {func(t testing.TB, path string) {
		if err := errors.Join(os.WriteFile(path+".new", []byte("nonsense"), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}, 1},
}

func truncate(t testing.TB, path string, part int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()/part/4096*4096)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A node whose file is damaged while it runs says so, rebuilds it, keeps the damaged one,
// and holds the same again. No position goes back.
func TestADamagedFileIsRepairedWhileTheNodeRuns(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			end, ids := r.appendUsers(2000)
			n := r.node(t.TempDir(), 0).at(end)
			checkpointed(t, n.dir)
			before, err := n.Status(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			fault.do(t, generationFile(t, n.dir))
			until(t, "the repair", func() bool {
				err := readAll(n, ids)
				var storage *storagefault.Error
				if err != nil && !errors.As(err, &storage) && n.Storage().Repaired == 0 {
					t.Logf("meanwhile: %v", err) // such as an entity that is not there
				}
				if p := n.Position(); p != end {
					t.Fatalf("position %d, want %d", p, end)
				}
				return n.Storage().Repaired > 0
			})
			if err := readAll(n, ids); err != nil {
				t.Errorf("after the repair: %v", err)
			}
			until(t, "readiness", func() bool { return n.Ready(time.Minute) == nil && n.State() == projections.StateFollowing })
			after, err := n.Status(deadline(t))
			if err != nil || after.Digests["users"] != before.Digests["users"] || after.State != projections.StateFollowing {
				t.Errorf("got %+v, %v; want the digests of %+v", after, err, before)
			}
			until(t, "the end of the rebuild", func() bool { r, _ := n.Rebuild(); return r.State == projections.RebuildDone })
			if kept := damagedFiles(t, n.dir); len(kept) != fault.kept {
				t.Errorf("kept: got %v, want %d files", kept, fault.kept)
			}
			n.at(r.append(user(uuid.NewString(), "later", "")))
		})
	}
}

// The worker notices a repair however short it is, and although the log brings nothing
// afterwards that would wake it.
func TestAQuickRepairIsNoticedWhileTheLogIsQuiet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	end := r.append(user(uuid.NewString(), "Ada", ""))
	var nodes []*node // several, since each is repaired at another moment of what its worker does
	for range 6 {
		nodes = append(nodes, r.node(t.TempDir(), 0).at(end))
	}
	for _, n := range nodes {
		until(t, "readiness before", func() bool { return n.Ready(time.Minute) == nil && n.State() == projections.StateFollowing })
	}
	for _, n := range nodes {
		var storage *storagefault.Error
		if err := n.ReportDamage(errors.New("a value that was never written")); !errors.As(err, &storage) {
			t.Fatalf("got %v, want a StorageError", err)
		}
		until(t, "the repair", func() bool { return n.Storage().Repaired > 0 })
	}
	for i, n := range nodes {
		for ctx := deadline(t); n.Ready(time.Minute) != nil || n.State() != projections.StateFollowing; time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				t.Fatalf("node %d after its repair: got state %s, ready: %v, storage %+v; want that it follows the log", i, n.State(), n.Ready(time.Minute), n.Storage())
			}
		}
	}
}

// Without self-repair the node serves nothing until an operator rebuilds it.
func TestADamagedFileWaitsForAPersonIfToldSo(t *testing.T) {
	r := newRig(t)
	end, ids := r.appendUsers(2000)
	n := r.nodeWith(projections.Options{NoSelfRepair: true})
	n.at(end)
	checkpointed(t, n.dir)
	overwrite(t, generationFile(t, n.dir), 0.1, 0.9, 0)
	until(t, "the damage", func() bool { return readAll(n, ids) != nil && n.Stuck() != nil })
	var storage *storagefault.Error
	if err := n.Ready(time.Hour); !errors.As(err, &storage) || storage.Fault != storagefault.Corrupt {
		t.Errorf("ready: got %v", err)
	}
	if s, err := n.Status(deadline(t)); err != nil || s.State != projections.StateDamaged || s.Damaged == "" {
		t.Errorf("status: got %+v, %v", s, err)
	}
	if err := n.WaitFor(deadline(t), end+1); !errors.As(err, &storage) {
		t.Errorf("a wait: got %v", err)
	}
	next := r.append(user(uuid.NewString(), "later", ""))
	if err := n.StartRebuild(projections.RebuildOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the rebuild", func() bool { r, _ := n.Rebuild(); return r.State == projections.RebuildDone })
	n.at(next)
	if got := n.Storage(); got.Repaired != 1 || got.Faults[storagefault.Corrupt] == 0 || len(damagedFiles(t, n.dir)) != 1 {
		t.Errorf("got %+v", got)
	}
}

// A node does not replace its file by what a log gives that lost records.
func TestARepairDoesNotForgetWhatTheLogLost(t *testing.T) {
	t.Parallel() // most of it is waiting
	r := newRig(t)
	_, _ = r.appendUsers(500)
	back := r.backup()
	end, _ := r.appendUsers(1500)
	n := r.node(t.TempDir(), 0).at(end)
	back()
	remove(t, generationFile(t, n.dir)+"-shm")
	until(t, "an attempt", func() bool { return n.Storage().RepairsFailed > 0 || n.Err() != nil })
	if n.Storage().Repaired != 0 || n.Position() != end {
		t.Errorf("got %+v at %d", n.Storage(), n.Position())
	}
}

// A scrub finds what no read has met: rows that are well formed and wrong, and pages that
// no one asks for.
func TestAScrubFindsDamage(t *testing.T) {
	for name, do := range map[string]func(t testing.TB, n *node, ids []string){
		"a row was changed": func(t testing.TB, n *node, ids []string) {
			db, err := sql.Open("sqlite3", generationFile(t, n.dir)+"?_busy_timeout=10000")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if _, err := db.ExecContext(deadline(t), `UPDATE users SET doc = '{}' WHERE id = unhex(replace(?, '-', ''))`, ids[len(ids)/2]); err != nil {
				t.Fatal(err)
			}
		},
		"pages were overwritten": func(t testing.TB, n *node, _ []string) {
			checkpointed(t, n.dir)
			overwrite(t, generationFile(t, n.dir), 0.5, 0.6, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			end, ids := r.appendUsers(2000)
			n := r.nodeWith(projections.Options{ScrubInterval: time.Millisecond})
			n.at(end)
			until(t, "a scrub", func() bool { return n.Storage().Scrub.Completed > 0 })
			do(t, n, ids)
			until(t, "the repair", func() bool { return n.Storage().Repaired > 0 })
			if err := readAll(n, ids); err != nil {
				t.Error(err)
			}
			if s := n.Storage().Scrub; s.Failed == 0 || s.Ended.IsZero() {
				t.Errorf("got %+v", s)
			}
			was := n.Storage().Scrub.Completed
			until(t, "a scrub of the repaired file", func() bool { return n.Storage().Scrub.Completed > was })
		})
	}
}

// While another process holds the file's lock the node says so, and goes on once it is
// released. It is not damaged by that.
func TestALockOfAnotherProcessIsNamed(t *testing.T) {
	r := newRig(t)
	n := r.node(t.TempDir(), 0).at(r.append(user(uuid.NewString(), "Ada", "")))
	db, err := sql.Open("sqlite3", generationFile(t, n.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(deadline(t), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	next := r.append(user(uuid.NewString(), "Bob", ""))
	until(t, "that it is stuck", func() bool { return n.Stuck() != nil })
	var storage *storagefault.Error
	if err := n.Stuck(); !errors.As(err, &storage) || storage.Fault != storagefault.Locked || n.State() != projections.StateFailing {
		t.Errorf("got %v in state %s", err, n.State())
	}
	if _, err := conn.ExecContext(deadline(t), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	n.at(next)
	until(t, "that it goes on", func() bool { return n.Ready(time.Minute) == nil })
	if got := n.Storage(); got.Repaired != 0 || got.Faults[storagefault.Locked] == 0 {
		t.Errorf("got %+v", got)
	}
}

// What a start can't open is set aside, and another file is begun.
func TestAFileThatCantBeOpenedIsSetAside(t *testing.T) {
	for name, do := range map[string]func(t testing.TB, path string){
		"no database":        func(t testing.TB, path string) { overwrite(t, path, 0, 1, 'x') },
		"no header":          func(t testing.TB, path string) { overwrite(t, path, 0, 0.01, 0) },
		"half of it is gone": func(t testing.TB, path string) { truncate(t, path, 2); overwrite(t, path, 0, 0.5, 7) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			end, ids := r.appendUsers(1000)
			n := r.node(t.TempDir(), 0).at(end)
			if err := n.close(); err != nil {
				t.Fatal(err)
			}
			do(t, generationFile(t, n.dir))
			_, err := projections.Open(deadline(t), projections.Options{Dir: n.dir, Log: r.log, Collections: usersOnly(t)})
			var storage *storagefault.Error
			if !errors.As(err, &storage) || storage.Fault != storagefault.Corrupt {
				t.Fatalf("got %v", err)
			}
			kept, err := datafolder.SetAside(n.dir)
			if err != nil || kept == "" {
				t.Fatalf("got %q, %v", kept, err)
			}
			if err := readAll(r.node(n.dir, 0).at(end), ids); err != nil {
				t.Error(err)
			}
			if files := damagedFiles(t, n.dir); len(files) != 1 || files[0] != kept {
				t.Errorf("kept: got %v, want %s", files, kept)
			}
		})
	}
}
