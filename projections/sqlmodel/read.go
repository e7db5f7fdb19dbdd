package sqlmodel

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
)

const (
	// readers is the maximum number of concurrent reads of one model.
	readers = 8
	// readPatience is how long a read waits for a connection.
	readPatience = 2 * time.Second
)

// ErrBusy means that the maximum number of reads of a model is running. The read did nothing.
var ErrBusy = errors.New("too many reads of the model are running")

// Readers read the file of a model while it is written. Safe for concurrent use.
type Readers struct {
	path   string
	d      *Definition
	places *semaphore.Weighted
	idle   chan *connection
}

// OpenReaders returns the readers of a file that exists.
func OpenReaders(ctx context.Context, path string, d *Definition) (*Readers, error) {
	r := &Readers{path: path, d: d, places: semaphore.NewWeighted(readers), idle: make(chan *connection, readers)}
	c, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	r.idle <- c
	return r, nil
}

func (r *Readers) connect(ctx context.Context) (*connection, error) {
	c, err := connect(ctx, r.path, url.Values{
		"mode": {"rw"}, "_query_only": {"true"}, "_busy_timeout": {"1000"}, "_cache_size": {strconv.Itoa(-(1 << 10))}, "_stmt_cache_size": {"32"},
	})
	if err != nil {
		return nil, fmt.Errorf("open the model %s for reads: %w", r.d.Name, err)
	}
	return c, nil
}

// Begin begins a read transaction. The caller must close it.
func (r *Readers) Begin(ctx context.Context) (*Tx, error) {
	patient, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	if r.places.Acquire(patient, 1) != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, ErrBusy
	}
	var c *connection
	select {
	case c = <-r.idle:
	default:
		var err error
		if c, err = r.connect(ctx); err != nil {
			r.places.Release(1)
			return nil, err
		}
	}
	tx := &Tx{Definition: r.d, of: r, conn: c}
	// These take microseconds, so they run with a context that can't end.
	_, err := c.ExecContext(context.Background(), `BEGIN`)
	if err == nil {
		err = c.QueryRowContext(context.Background(), `SELECT position, changed FROM _clusterlite`).Scan(&tx.At, &tx.Changed)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin to read the model %s: %w", r.d.Name, err), tx.Close())
	}
	return tx, nil
}

// Close closes the connections. No read may be running.
func (r *Readers) Close() error {
	var errs []error
	for {
		select {
		case c := <-r.idle:
			errs = append(errs, c.close())
		default:
			return errors.Join(errs...)
		}
	}
}

// A Tx is a read transaction on one model: it sees the model at one position. One goroutine uses it.
type Tx struct {
	*Definition
	// At is the position that the transaction sees. Changed is that of the last event that could
	// change anything: between the two, the model has stayed the same.
	At, Changed events.Position

	of   *Readers
	conn *connection
}

// Query runs a statement that only reads, and passes its rows to each. A row is valid until each
// returns. Its values are int64, float64, string, []byte or nil.
func (tx *Tx) Query(ctx context.Context, text string, args []any, each func(row []any) error) error {
	return tx.conn.within(reading, func() error { return tx.query(ctx, text, args, each) })
}

func (tx *Tx) query(ctx context.Context, text string, args []any, each func(row []any) error) (err error) {
	rows, err := tx.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("read the model %s: %w", tx.Name, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	raw, row, into := make([]rawValue, len(names)), make([]any, len(names)), make([]any, len(names))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read the model %s: %w", tx.Name, err)
		}
		for i := range raw {
			row[i] = raw[i].value
		}
		if err := each(row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the model %s: %w", tx.Name, err)
	}
	return nil
}

// A rawValue takes a value as the driver returns it, except that the driver turns the values of some
// declared types into others.
type rawValue struct{ value any }

// Scan implements [sql.Scanner].
func (v *rawValue) Scan(value any) error {
	switch value := value.(type) {
	case bool:
		v.value = int64(0)
		if value {
			v.value = int64(1)
		}
	case time.Time:
		v.value = events.FormatTime(value)
	default:
		v.value = value
	}
	return nil
}

var _ sql.Scanner = (*rawValue)(nil)

// Close ends the transaction. Further calls have no effect.
func (tx *Tx) Close() error {
	c := tx.conn
	if c == nil {
		return nil
	}
	tx.conn = nil
	defer tx.of.places.Release(1)
	if _, err := c.ExecContext(context.Background(), `ROLLBACK`); err != nil {
		return errors.Join(err, c.close())
	}
	tx.of.idle <- c
	return nil
}

// Digest returns the sum of the hashes of all rows of all tables. Two nodes have the same digest of
// a model if it was changed last at the same position. The indexes of full-text tables are not
// part of it: they depend on the batches in which events were applied, but what they index does
// not.
func (tx *Tx) Digest(ctx context.Context) (sum digest.Sum, err error) {
	var tables []string
	if err := tx.query(ctx, `SELECT name FROM pragma_table_list WHERE schema = 'main'
		AND (type = 'table' OR type = 'shadow' AND name LIKE '%\_content' ESCAPE '\') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_clusterlite%' ESCAPE '\' ORDER BY name`,
		nil, func(row []any) error {
			tables = append(tables, fmt.Sprint(row[0]))
			return nil
		}); err != nil {
		return sum, err
	}
	var b []byte
	for _, table := range tables {
		columns, err := tx.columns(ctx, table)
		if err != nil {
			return sum, err
		}
		err = tx.query(ctx, "SELECT "+columns+" FROM "+quote(table), nil, func(row []any) error {
			b = appendText(append(b[:0], 'r'), table)
			for _, value := range row {
				b = appendValue(b, value)
			}
			hash := sha256.Sum256(b)
			sum.Add(digest.FromBytes(hash[:]))
			return nil
		})
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// columns returns the columns of a table for a SELECT. A unary plus hides their declared types from
// the driver, which would turn texts into times.
func (tx *Tx) columns(ctx context.Context, table string) (string, error) {
	var names []string
	err := tx.query(ctx, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, []any{table}, func(row []any) error {
		names = append(names, "+"+quote(fmt.Sprint(row[0])))
		return nil
	})
	return strings.Join(names, ", "), err
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// appendValue appends a value so that no two rows have the same bytes.
func appendValue(b []byte, value any) []byte {
	switch value := value.(type) {
	case nil:
		return append(b, 'n')
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 'i'), uint64(value))
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(value))
	case string:
		return appendText(append(b, 't'), value)
	case []byte:
		return appendText(append(b, 'b'), string(value))
	default:
		return appendText(append(b, '?'), fmt.Sprint(value))
	}
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
