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
	// Checkpoint is the estimated amount of writes after which a checkpoint is due.
	Checkpoint int64
	// Restart is the size of the WAL at which the worker helps to restart it from its
	// beginning. A larger WAL makes reads slower, because they search it for each page first.
	Restart int64
	// Maximum is the estimated amount that the worker writes during a checkpoint before it waits
	// for it. A WAL that grew during a long read is truncated to this size.
	Maximum int64
}

// ServingBounds are the bounds for a file that serves. Tests lower them.
var ServingBounds = WALBounds{Checkpoint: 4 << 20, Restart: 32 << 20, Maximum: 64 << 20}

const (
	// checkpointEvery is the maximum delay of a checkpoint after a write.
	checkpointEvery = time.Second
	// restartPatience is how long the worker waits for reads to leave the WAL.
	restartPatience = 10 * time.Millisecond
	// restartPauseMin and restartPauseMax bound the growing pauses between attempts to restart
	// the WAL, so that a long read costs the worker little.
	restartPauseMin = 10 * time.Millisecond
	restartPauseMax = time.Second
)

// A Checkpointer copies the write-ahead log (WAL) into the file, so that commits do not have to.
//
// A goroutine runs passive checkpoints on its own connection: after a number of bytes, and
// within checkpointEvery of the first write. Such a checkpoint does not wait for reads or
// writes, and they do not wait for it. The goroutine runs from startCheckpoints until Stop,
// which waits for it.
//
// Under steady writes the WAL never restarts from its beginning by itself, because part of it
// was written after the checkpoint began. So once the WAL is large, the worker copies the rest
// itself between two batches: see MakeRoom. There it also waits if it is far ahead of the
// checkpoint. A read that still uses an old part of the WAL lets it grow, because nothing waits
// for a read.
//
// A nil *Checkpointer stands for a file without a WAL.
type Checkpointer struct {
	path   string
	pool   *sqlx.DB
	bounds WALBounds

	ahead   atomic.Int64 // estimated bytes written since the last checkpoint began
	restart atomic.Bool  // the WAL is large enough to restart
	due     chan struct{}

	Running sync.Mutex // held during a checkpoint

	first atomic.Pointer[func() error] // see SyncFirst

	Mu      sync.Mutex
	Failure error // of the last checkpoint in the background

	// retry is when MakeRoom next tries to restart the WAL, and pause is how long it waited for
	// that. Only the worker uses them.
	retry time.Time
	pause time.Duration

	stopping chan struct{}
	stopOnce sync.Once
	stopErr  error
	stopped  sync.WaitGroup
}

// startCheckpoints starts the checkpoints of a database in WAL mode.
func startCheckpoints(ctx context.Context, path string) (*Checkpointer, error) {
	pool, err := Connect(ctx, path, 1, url.Values{
		"mode":          {"rw"},
		"_synchronous":  {"NORMAL"}, // the WAL is synced before the copy, and the file after it
		"_cache_size":   {"-64"},    // a checkpoint needs no cache
		"_busy_timeout": {"0"},
	})
	if err != nil {
		return nil, err
	}
	c := &Checkpointer{path: path, pool: pool, bounds: ServingBounds, due: make(chan struct{}, 1), stopping: make(chan struct{})}
	c.stopped.Go(c.run)
	return c, nil
}

// Stop ends the goroutine, waits for a running checkpoint, and closes the connection. Further
// calls return the same result.
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
			c.ahead.Add(1) // the next tick retries at the latest
		}
		c.Mu.Lock()
		c.Failure = err
		c.Mu.Unlock()
	}
}

// Wrote records that about bytes bytes were written to the WAL.
func (c *Checkpointer) Wrote(bytes int64) {
	if c == nil {
		return
	}
	if c.ahead.Add(bytes) < c.bounds.Checkpoint {
		return
	}
	select {
	case c.due <- struct{}{}:
	default: // noted already
	}
}

// A WALState is the result of a checkpoint.
type WALState struct {
	Busy   bool  `db:"busy"`         // something prevented a complete checkpoint
	Frames int64 `db:"log"`          // pages in the WAL
	Copied int64 `db:"checkpointed"` // pages copied into the file
}

// pass runs a passive checkpoint, after one that is running.
func (c *Checkpointer) pass() error {
	c.Running.Lock()
	defer c.Running.Unlock()
	c.ahead.Store(0)
	if err := c.syncFirst(); err != nil {
		return err
	}
	var pageSize int64
	var state WALState
	// The context can't end, because that would interrupt the checkpoint.
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

// MakeRoom bounds the WAL. The worker calls it on its own connection before each batch, outside
// a transaction. It returns at once while the WAL is small. An error means that the file could
// not be written, and that the next call retries.
func (c *Checkpointer) MakeRoom(conn *sqlx.Conn) error {
	if c == nil {
		return nil
	}
	if c.ahead.Load() > c.bounds.Maximum {
		if err := c.pass(); err != nil {
			return err
		}
	}
	if !c.restart.Load() || time.Now().Before(c.retry) {
		return nil
	}
	c.Running.Lock() // otherwise it would wait in vain for a running checkpoint
	defer c.Running.Unlock()
	if err := c.syncFirst(); err != nil {
		return err
	}
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

// restartWAL makes the next write restart the WAL from its beginning, unless reads use it.
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

// SyncFirst has each checkpoint call sync first, so that what sync makes durable is never behind the
// file after a power loss.
func (c *Checkpointer) SyncFirst(sync func() error) {
	if c != nil {
		c.first.Store(&sync)
	}
}

func (c *Checkpointer) syncFirst() error {
	if sync := c.first.Load(); sync != nil {
		return (*sync)()
	}
	return nil
}

// Failed returns the reason why the last checkpoint in the background failed, or nil.
func (c *Checkpointer) Failed() error {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return c.Failure
}
