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
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// appendUsers appends users. Enough of them give the file pages in its middle that a test can
// damage.
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

// until polls a condition that the node does not report by itself.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := deadline(t); !holds(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("got a timeout, want %s", what)
		}
	}
}

// overwrite replaces the bytes of a file between two fractions of its size.
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

// generationFile returns the path of the file that serves.
func generationFile(t testing.TB, dir string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// checkpointed moves all rows from the write-ahead log to the file itself.
func checkpointed(t testing.TB, dir string) {
	t.Helper()
	db, err := sql.Open("sqlite3", generationFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	until(t, "a checkpoint", func() bool { // it is busy while a checkpoint runs in the background
		var busy, pages, copied int
		if err := db.QueryRowContext(deadline(t), `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &copied); err != nil {
			t.Fatal(err)
		}
		return busy == 0
	})
}

// readAll reads all entities, each on its own and then in a list. It returns the first error.
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

// faults are the kinds of damage to the files of a running node that it repairs. kept is the
// number of damaged files that remain.
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

// A node whose file is damaged while it runs reports the damage, rebuilds the file, keeps the
// damaged one, and then holds the same rows. Its position never goes back.
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
					t.Logf("before the repair: %v", err) // for example, an entity that is missing
				}
				if p := n.Position(); p != end {
					t.Fatalf("got position %d, want %d", p, end)
				}
				return n.Storage().Repaired > 0
			})
			if err := readAll(n, ids); err != nil {
				t.Errorf("after the repair: got %v, want all entities", err)
			}
			until(t, "readiness", func() bool { return n.Ready(time.Minute) == nil && n.State() == projections.StateFollowing })
			after, err := n.Status(deadline(t))
			if err != nil || after.Digests["users"] != before.Digests["users"] || after.State != projections.StateFollowing {
				t.Errorf("got %+v, %v, want the digests of %+v, in state %s", after, err, before, projections.StateFollowing)
			}
			until(t, "the end of the rebuild", func() bool { r, _ := n.Rebuild(); return r.State == projections.RebuildDone })
			if kept := damagedFiles(t, n.dir); len(kept) != fault.kept {
				t.Errorf("got damaged files %v, want %d", kept, fault.kept)
			}
			n.at(r.append(user(uuid.NewString(), "later", "")))
		})
	}
}

// The worker notices even a short repair, although no later record of the log wakes it.
func TestAQuickRepairIsNoticedWhileTheLogIsQuiet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	end := r.append(user(uuid.NewString(), "Ada", ""))
	var nodes []*node // several, so that the repairs meet their workers at different moments
	for range 6 {
		nodes = append(nodes, r.node(t.TempDir(), 0).at(end))
	}
	for _, n := range nodes {
		until(t, "readiness before", func() bool { return n.Ready(time.Minute) == nil && n.State() == projections.StateFollowing })
	}
	for _, n := range nodes {
		var storage *storagefault.Error
		if err := n.ReportDamage(errors.New("a value that was never written")); !errors.As(err, &storage) {
			t.Fatalf("got %v, want a storagefault.Error", err)
		}
		until(t, "the repair", func() bool { return n.Storage().Repaired > 0 })
	}
	for i, n := range nodes {
		for ctx := deadline(t); n.Ready(time.Minute) != nil || n.State() != projections.StateFollowing; time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				t.Fatalf("node %d after its repair: got state %s, ready: %v, storage %+v, want a ready node that follows the log", i, n.State(), n.Ready(time.Minute), n.Storage())
			}
		}
	}
}

// Without self-repair the node serves nothing until an operator rebuilds it.
func TestADamagedFileWaitsForAnOperatorWithoutSelfRepair(t *testing.T) {
	r := newRig(t)
	end, ids := r.appendUsers(2000)
	n := r.nodeWith(projections.Options{NoSelfRepair: true})
	n.at(end)
	checkpointed(t, n.dir)
	overwrite(t, generationFile(t, n.dir), 0.1, 0.9, 0)
	until(t, "the damage", func() bool { return readAll(n, ids) != nil && n.Stuck() != nil })
	var storage *storagefault.Error
	if err := n.Ready(time.Hour); !errors.As(err, &storage) || storage.Fault != storagefault.Corrupt {
		t.Errorf("ready: got %v, want a corrupt file", err)
	}
	if s, err := n.Status(deadline(t)); err != nil || s.State != projections.StateDamaged || s.Damaged == "" {
		t.Errorf("status: got %+v, %v, want state %s and the damage", s, err, projections.StateDamaged)
	}
	if err := n.WaitFor(deadline(t), end+1); !errors.As(err, &storage) {
		t.Errorf("wait: got %v, want a storagefault.Error", err)
	}
	next := r.append(user(uuid.NewString(), "later", ""))
	if err := n.StartRebuild(projections.RebuildOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the rebuild", func() bool { r, _ := n.Rebuild(); return r.State == projections.RebuildDone })
	n.at(next)
	if got := n.Storage(); got.Repaired != 1 || got.Faults[storagefault.Corrupt] == 0 || len(damagedFiles(t, n.dir)) != 1 {
		t.Errorf("got %+v and damaged files %v, want 1 repair of a corrupt file, which is kept", got, damagedFiles(t, n.dir))
	}
}

// A node does not replace its file with rows from a log that has lost records.
func TestARepairDoesNotForgetWhatTheLogLost(t *testing.T) {
	t.Parallel() // it mostly waits
	r := newRig(t)
	_, _ = r.appendUsers(500)
	back := r.backup()
	end, _ := r.appendUsers(1500)
	n := r.node(t.TempDir(), 0).at(end)
	back()
	remove(t, generationFile(t, n.dir)+"-shm")
	until(t, "an attempt", func() bool { return n.Storage().RepairsFailed > 0 || n.Err() != nil })
	if n.Storage().Repaired != 0 || n.Position() != end {
		t.Errorf("got %+v at position %d, want no repair, and position %d", n.Storage(), n.Position(), end)
	}
}

// A scrub finds damage that no read has met: rows that are well formed but wrong, and pages that
// no request reads.
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
				t.Errorf("got %+v, want a failed scrub and the time at which it ended", s)
			}
			was := n.Storage().Scrub.Completed
			until(t, "a scrub of the repaired file", func() bool { return n.Storage().Scrub.Completed > was })
		})
	}
}

// While another process holds the file's lock, the node reports the lock. It resumes once the
// lock is released. The lock does not count as damage.
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
	until(t, "a node that is stuck", func() bool { return n.Stuck() != nil })
	var storage *storagefault.Error
	if err := n.Stuck(); !errors.As(err, &storage) || storage.Fault != storagefault.Locked || n.State() != projections.StateFailing {
		t.Errorf("got %v in state %s, want a locked file in state %s", err, n.State(), projections.StateFailing)
	}
	if _, err := conn.ExecContext(deadline(t), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	n.at(next)
	until(t, "a node that is ready again", func() bool { return n.Ready(time.Minute) == nil })
	if got := n.Storage(); got.Repaired != 0 || got.Faults[storagefault.Locked] == 0 {
		t.Errorf("got %+v, want no repair and at least one fault %s", got, storagefault.Locked)
	}
}

// A file that a node cannot open at start is set aside, and the node begins another one.
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
				t.Fatalf("got %v, want a corrupt file", err)
			}
			kept, err := datafolder.SetAside(n.dir)
			if err != nil || kept == "" {
				t.Fatalf("got %q, %v, want the name of the file that was set aside", kept, err)
			}
			if err := readAll(r.node(n.dir, 0).at(end), ids); err != nil {
				t.Error(err)
			}
			if files := damagedFiles(t, n.dir); len(files) != 1 || files[0] != kept {
				t.Errorf("got damaged files %v, want %s", files, kept)
			}
		})
	}
}

// A read transaction that finds a value that does not fit its column reports the damage. The node
// then stops serving the file.
func TestAReadTransactionReportsAnUnreadableRow(t *testing.T) {
	for name, read := range map[string]func(context.Context, *reads.Tx) error{
		"entities": func(ctx context.Context, s *reads.Tx) error {
			return s.Entities(ctx, "users", "", func(events.Entity) error { return nil })
		},
		"rows": func(ctx context.Context, s *reads.Tx) error {
			return s.Rows(ctx, "users", func(reads.Row) error { return nil })
		},
		"list": func(ctx context.Context, s *reads.Tx) error {
			_, err := s.List(ctx, "users", query.Query{Limit: 10}, func([]byte) error { return nil })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			end := r.append(user(uuid.NewString(), "Ada", ""))
			n := r.nodeWith(projections.Options{NoSelfRepair: true})
			n.at(end)
			s, err := n.BeginRead(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			other := errors.New("of the caller")
			if err := s.Entities(deadline(t), "users", "", func(events.Entity) error { return other }); !errors.Is(err, other) || n.Stuck() != nil {
				t.Errorf("got %v, stuck: %v, want the error of the function alone", err, n.Stuck())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			meddle(t, n.dir, `UPDATE users SET version = 'x'`)
			if s, err = n.BeginRead(deadline(t)); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var storage *storagefault.Error
			if err := read(deadline(t), s); !errors.As(err, &storage) || storage.Fault != storagefault.Corrupt || storage.Path == "" {
				t.Errorf("got %v, want a corrupt file", err)
			}
			if err := n.Ready(time.Hour); !errors.As(err, &storage) {
				t.Errorf("ready: got %v, want the damage", err)
			}
		})
	}
}
