// Package reads reads a read model: single rows, and read transactions that see the whole read
// model at one position.
package reads

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// OpenFile opens a read transaction on a projection's file by its path, whether or not a node
// has the file open. It returns a [refusal.Error] for a file of another version, and does not
// create a missing file.
func OpenFile(ctx context.Context, path string) (*Tx, error) {
	// SQLite must not open it read-only, because a reader of a file in WAL mode writes its
	// index.
	db, err := sqlite.Connect(ctx, path, 1, url.Values{"mode": {"rw"}, "_query_only": {"true"}})
	if err != nil {
		return nil, err
	}
	var version int
	err = db.GetContext(ctx, &version, `PRAGMA user_version`)
	if err == nil && !schema.Readable(version) {
		err = schema.OtherSchema(path, version)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	all := sqlite.NewPool(db, 1)
	r, err := all.Acquire(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	s, err := Begin(r, path, func() { _ = all.Close() }, nil)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

// A Tx is a read transaction: it sees the read models at one position, no matter what is
// applied in the meantime. Use it from one goroutine, and close it. Until then it holds a
// connection, and keeps the write-ahead log from being truncated.
type Tx struct {
	// At is the position that the transaction sees.
	At events.Position

	conn    *sqlite.Conn
	path    string // the file
	release func() // releases what the connection belongs to
	// observe, if not nil, takes the errors of reads, and may replace them.
	observe func(error) error
	// recentClaims are the recent claims of each collection with the packed ids of their holders, or nil for a
	// claim that no entity holds. They are nil until an audit has read them.
	recentClaims map[string]map[string][]byte
}

// observed passes the error of a read to observe.
func (s *Tx) observed(err error) error {
	if err == nil || s.observe == nil {
		return err
	}
	return s.observe(err)
}

// unreadable turns the error of a scan into a [storagefault.Error]: a value that does not fit its
// column means that the file is damaged. If ctx ended, the error says nothing about the file,
// because the end of ctx closes the rows.
func (s *Tx) unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	return storagefault.UnreadableRow(s.path, err)
}

// Begin opens a read transaction on a connection of a file, whose path errors name. If it fails, it releases the connection and
// calls release. observe may be nil.
func Begin(r *sqlite.Conn, path string, release func(), observe func(error) error) (*Tx, error) {
	s := &Tx{conn: r, path: path, release: release, observe: observe}
	// Both statements take microseconds, so they run with a context that can't end.
	_, err := r.ExecContext(context.Background(), `BEGIN`)
	if err == nil {
		// The first read fixes what the transaction sees.
		err = r.GetContext(context.Background(), &s.At, `SELECT position FROM _checkpoint`)
	}
	if err != nil {
		return nil, errors.Join(s.observed(fmt.Errorf("begin a read transaction: %w", err)), s.Close())
	}
	return s, nil
}

// Select reads rows into dest, a pointer to a slice, as sqlx does. It gives further read models
// access to their own tables.
func (s *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	return s.observed(s.conn.SelectContext(ctx, dest, query, args...))
}

// Get reads one row into dest, as sqlx does. It returns an error that wraps sql.ErrNoRows if
// there is none.
func (s *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	return s.observed(s.conn.GetContext(ctx, dest, query, args...))
}

// Close ends the transaction. Further calls have no effect.
func (s *Tx) Close() error {
	r := s.conn
	if r == nil {
		return nil
	}
	s.conn = nil
	defer s.release()
	// It must also end after the caller's context has ended, and takes microseconds.
	if _, err := r.ExecContext(context.Background(), `ROLLBACK`); err != nil {
		r.Discard()
		return fmt.Errorf("end a read transaction: %w", err)
	}
	r.Release()
	return nil
}
