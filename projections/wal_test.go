package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// A walRig is a file with tight bounds on its WAL, and a source of users to write to it.
type walRig struct {
	t     testing.TB
	g     *generation.Generation
	users *collections.Collection
	next  int64
}

func newWALRig(t testing.TB, dir string, bounds sqlite.WALBounds) *walRig {
	t.Helper()
	before := sqlite.ServingBounds
	sqlite.ServingBounds = bounds
	defer func() { sqlite.ServingBounds = before }()
	declared, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	g, err := generation.Open(t.Context(), filepath.Join(dir, "projection.db"), declared, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	users, _ := declared.Get("users")
	return &walRig{t: t, g: g, users: users}
}

// apply writes a batch of users.
func (r *walRig) apply(size int) error {
	records := make([]events.Record, size)
	for i := range records {
		records[i] = createdUser(r.t, r.users, r.next)
		r.next++
	}
	_, err := r.g.Writer.Apply(context.Background(), records)
	return err
}

func (r *walRig) fill(bytes int64) {
	r.t.Helper()
	for end := r.written() + bytes; r.written() < end; {
		if err := r.apply(64); err != nil {
			r.t.Fatal(err)
		}
	}
}

// written returns a lower bound of the bytes that were written to the WAL so far.
func (r *walRig) written() int64 { return r.next << 9 }

func (r *walRig) walSize() int64 {
	r.t.Helper()
	size, err := fileSize(r.g.DB.Path + "-wal")
	if err != nil {
		r.t.Fatal(err)
	}
	return size
}

var closeBounds = sqlite.WALBounds{Checkpoint: 256 << 10, Restart: 1 << 20, Maximum: 2 << 20}

// The WAL stays bounded while reads and writes go on without a pause.
func TestTheWALStaysBounded(t *testing.T) {
	r := newWALRig(t, t.TempDir(), closeBounds)
	ctx, stop := context.WithCancel(t.Context())
	var reads sync.WaitGroup
	for range 4 {
		reads.Go(func() {
			for ctx.Err() == nil {
				c, err := r.g.DB.Points.Acquire(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				if err := c.GetContext(context.Background(), &n, `SELECT count(*) FROM (SELECT 1 FROM users ORDER BY id DESC LIMIT 20)`); err != nil {
					t.Error(err)
				}
				c.Release()
			}
		})
	}
	var largest int64
	for range 6 {
		r.fill(1 << 20)
		largest = max(largest, r.walSize())
	}
	stop()
	reads.Wait()
	if most := closeBounds.Restart + 4*closeBounds.Maximum; largest > most {
		t.Errorf("got a WAL of %d bytes, want at most %d", largest, most)
	}
}

// A long read does not block writes, so the WAL grows. Once the read has ended, the WAL is cut.
func TestALongReadLetsTheWALGrow(t *testing.T) {
	r := newWALRig(t, t.TempDir(), closeBounds)
	r.fill(64 << 10)
	s, err := r.g.BeginLongRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := s.At
	r.fill(4 << 20)
	if size := r.walSize(); size < 4<<20 {
		t.Errorf("got a WAL of %d bytes during a read, want at least %d", size, 4<<20)
	}
	var position events.Position
	if err := s.Get(t.Context(), &position, `SELECT position FROM _checkpoint`); err != nil || position != at {
		t.Errorf("got position %d, %v, want %d, where the read began", position, err, at)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for r.walSize() > closeBounds.Maximum {
		if t.Context().Err() != nil {
			t.Fatalf("got a WAL of %d bytes after the read, want at most %d", r.walSize(), closeBounds.Maximum)
		}
		r.fill(64 << 10)
	}
}

// A checkpoint copies even a small write to the file after a while, without another write.
func TestACheckpointNeedsNoFurtherWrite(t *testing.T) {
	r := newWALRig(t, t.TempDir(), sqlite.ServingBounds)
	if err := r.apply(1); err != nil {
		t.Fatal(err)
	}
	for {
		var state sqlite.WALState
		if err := r.g.Writer.Conn.GetContext(t.Context(), &state, `PRAGMA wal_checkpoint(NOOP)`); err != nil {
			t.Fatal(err)
		}
		if state.Frames > 0 && state.Copied == state.Frames {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Stop waits for a running checkpoint, and may be called again.
func TestStopWaitsForACheckpoint(t *testing.T) {
	r := newWALRig(t, t.TempDir(), sqlite.WALBounds{Checkpoint: 1, Restart: 1 << 20, Maximum: 2 << 20})
	c := r.g.DB.WAL
	r.fill(1 << 20)
	for range 2 {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}
	if !c.Running.TryLock() {
		t.Error("got a checkpoint that runs after Stop, want none")
	}
}

// A checkpoint that fails in the background is logged and counts as a storage fault. One that
// fails because the disk is full damages nothing.
func TestAFailedCheckpointIsReported(t *testing.T) {
	r := newWALRig(t, t.TempDir(), sqlite.ServingBounds)
	var log strings.Builder
	p := &Projection{options: Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), NoSelfRepair: true}, closing: make(chan struct{})}
	p.serving.Store(r.g)
	p.observeCheckpoints(r.g)
	if log.Len() > 0 {
		t.Errorf("without a failure: got log %s, want none", log.String())
	}
	fail := func(err error) {
		r.g.DB.WAL.Mu.Lock()
		defer r.g.DB.WAL.Mu.Unlock()
		r.g.DB.WAL.Failure = err
	}
	fail(fmt.Errorf("copy: %w", sqlite3.Error{Code: sqlite3.ErrFull}))
	p.observeCheckpoints(r.g)
	if p.Storage().Faults[storagefault.Full] != 1 || p.State() == StateDamaged || !strings.Contains(log.String(), "can't copy the write-ahead log") {
		t.Errorf("full: got faults %v, state %s, log %q, want one fault that is logged, and no damage", p.Storage().Faults, p.State(), log.String())
	}
	fail(sqlite3.Error{Code: sqlite3.ErrIoErr})
	p.observeCheckpoints(r.g)
	if p.Storage().Faults[storagefault.IO] != 1 || p.State() != StateDamaged {
		t.Errorf("I/O error: got faults %v, state %s, want one fault in state %s", p.Storage().Faults, p.State(), StateDamaged)
	}
}

// On a disk that is really full, a checkpoint fails without a loss, and writes fail once the WAL
// must be cut. Both resume once there is room.
func TestACheckpointOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("can't mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	r := newWALRig(t, dir, closeBounds)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var failed error
	for failed == nil {
		failed = r.apply(64)
	}
	var fault *storagefault.Error
	if err := storagefault.Classify("p", failed); !errors.As(err, &fault) || fault.Fault != storagefault.Full {
		t.Errorf("got %v, want a full disk", err)
	}
	position := r.g.Writer.Position
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	r.next = int64(position)
	if err := r.apply(64); err != nil {
		t.Errorf("with room again: got %v, want the batch applied", err)
	}
	if got := r.g.Writer.Position; got != position+64 {
		t.Errorf("got position %d, want %d", got, position+64)
	}
}
