package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// WALBounds bound the write-ahead log, in bytes.
type WALBounds struct {
	// checkpoint is how much is written, by estimate, before it is copied into the file.
	Checkpoint int64
	// restart is how large the WAL grows before the worker takes part, so that it starts again
	// from its beginning. A larger one makes reads slower, since they look for each page in it
	// first.
	Restart int64
	// most is how much the worker writes, by estimate, while a checkpoint is running before
	// it waits for that. A WAL that a long read let grow is cut to it.
	Most int64
}

// ServingBounds are those of a file that serves. Tests lower them.
var ServingBounds = WALBounds{Checkpoint: 4 << 20, Restart: 32 << 20, Most: 64 << 20}

const (
	// checkpointEvery is how long written bytes wait at most for a checkpoint.
	checkpointEvery = time.Second
	// restartPatience is how long the worker waits for reads to leave the WAL.
	restartPatience = 10 * time.Millisecond
	// restartPauseMin and restartPauseMax are the pauses before it tries again, growing
	// between, so that a long read costs it little.
	restartPauseMin = 10 * time.Millisecond
	restartPauseMax = time.Second
)

// Checkpointer copy the write-ahead log (WAL) into the file, so that commits need not.
//
// A goroutine runs passive checkpoints on a connection of its own: after a number of bytes,
// and within checkpointEvery of the first write. Such a checkpoint waits for no read and no
// write, and neither waits for it. The goroutine lasts from startCheckpoints until stop, which
// waits for it.
//
// While writes go on the WAL never starts again from its beginning by itself, because some
// of it was always written after the checkpoint began. So once it is large the worker copies
// the rest itself, between two batches (see makeRoom). The worker also waits there if it is
// far ahead of the checkpoint. A read that is still using an old part of the WAL lets it grow,
// since nothing waits for a read.
//
// A nil *walCheckpoints is that of a file without a WAL.
type Checkpointer struct {
	path   string
	pool   *sqlx.DB
	bounds WALBounds

	ahead   atomic.Int64 // bytes written since the last checkpoint began, by estimate
	restart atomic.Bool  // the WAL is large enough to start again
	due     chan struct{}

	Running sync.Mutex // held during a checkpoint

	Mu      sync.Mutex
	Failure error // of the last checkpoint in the background

	// retry is when makeRoom tries again to have the WAL start from its beginning, and pause
	// how long it waited for that. The worker alone uses them.
	retry time.Time
	pause time.Duration

	stopping chan struct{}
	stopOnce sync.Once
	stopErr  error
	stopped  sync.WaitGroup
}

// startCheckpoints starts the checkpoints of a database that is in WAL mode.
func startCheckpoints(ctx context.Context, path string) (*Checkpointer, error) {
	pool, err := Connect(ctx, path, 1, url.Values{
		"mode":          {"rw"},
		"_synchronous":  {"NORMAL"}, // the WAL is synced before it is copied, and the file after
		"_cache_size":   {"-64"},    // a checkpoint uses no cache
		"_busy_timeout": {"0"},
	})
	if err != nil {
		return nil, err
	}
	c := &Checkpointer{path: path, pool: pool, bounds: ServingBounds, due: make(chan struct{}, 1), stopping: make(chan struct{})}
	c.stopped.Go(c.run)
	return c, nil
}

// Stop ends the goroutine, waits for a checkpoint that is running, and closes the connection.
// It may be called more than once.
func (c *Checkpointer) Stop() error {
	c.stopOnce.Do(func() {
		close(c.stopping)
		c.stopped.Wait()
		c.stopErr = c.pool.Close()
	})
	return c.stopErr
}

func (c *Checkpointer) run() {
	ticker := time.NewTicker(checkpointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.stopping:
			return
		case <-c.due:
		case <-ticker.C:
		}
		if c.ahead.Load() == 0 {
			continue
		}
		err := c.pass()
		if err != nil {
			c.ahead.Add(1) // what was not copied still has to be, with the next tick at the latest
		}
		c.Mu.Lock()
		c.Failure = err
		c.Mu.Unlock()
	}
}

// Wrote notes that about so many bytes were written to the WAL.
func (c *Checkpointer) Wrote(bytes int64) {
	if c == nil {
		return
	}
	if c.ahead.Add(bytes) < c.bounds.Checkpoint {
		return
	}
	select {
	case c.due <- struct{}{}:
	default: // it is noted already
	}
}

// A WALState is what a checkpoint says about the WAL.
type WALState struct {
	Busy   bool  `db:"busy"`         // something kept it from doing all
	Frames int64 `db:"log"`          // pages in the WAL
	Copied int64 `db:"checkpointed"` // how many of them are in the file
}

// pass runs a passive checkpoint, after one that is running.
func (c *Checkpointer) pass() error {
	c.Running.Lock()
	defer c.Running.Unlock()
	c.ahead.Store(0)
	var pageSize int64
	var state WALState
	// Without a context that can end: it would interrupt the checkpoint in the middle.
	err := c.pool.GetContext(context.Background(), &state, `PRAGMA wal_checkpoint(PASSIVE)`)
	if err == nil {
		err = c.pool.GetContext(context.Background(), &pageSize, `PRAGMA page_size`)
	}
	if err != nil {
		return fmt.Errorf("copy the write-ahead log into %s: %w", c.path, err)
	}
	c.restart.Store(state.Frames*pageSize >= c.bounds.Restart)
	return nil
}

// MakeRoom bounds the WAL. The worker calls it on its own connection, outside a transaction,
// before each batch. It returns at once while the WAL is small. An error means that the file
// could not be written, and that the next call tries again.
func (c *Checkpointer) MakeRoom(conn *sqlx.Conn) error {
	if c == nil {
		return nil
	}
	if c.ahead.Load() > c.bounds.Most {
		if err := c.pass(); err != nil {
			return err
		}
	}
	if !c.restart.Load() || time.Now().Before(c.retry) {
		return nil
	}
	c.Running.Lock() // or it would wait for the one that is running in vain
	defer c.Running.Unlock()
	state, err := restartWAL(conn)
	if err != nil {
		return fmt.Errorf("copy the write-ahead log into %s: %w", c.path, err)
	}
	c.restart.Store(state.Busy)
	if !state.Busy {
		c.pause = 0
		return nil
	}
	c.pause = min(max(2*c.pause, restartPauseMin), restartPauseMax)
	c.retry = time.Now().Add(c.pause)
	return nil
}

// restartWAL has the next write start the WAL from its beginning, unless reads use it.
func restartWAL(conn *sqlx.Conn) (state WALState, err error) {
	ctx := context.Background()
	patience := func(d time.Duration) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA busy_timeout = %d`, d.Milliseconds()))
		return err
	}
	if err := patience(restartPatience); err != nil {
		return state, err
	}
	err = conn.GetContext(ctx, &state, `PRAGMA wal_checkpoint(RESTART)`)
	return state, errors.Join(err, patience(writerPatience))
}

// Failed gives why the last checkpoint in the background failed; nil if it did not.
func (c *Checkpointer) Failed() error {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return c.Failure
}
