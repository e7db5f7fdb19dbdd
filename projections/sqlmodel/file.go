package sqlmodel

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/clusterlite/clusterlite/events"
)

// tablesVersion is the version of the tables of this package. A file of another version is built
// again.
const tablesVersion = 2

// EventTimeout is how long the statements of one event may take.
const EventTimeout = 5 * time.Second

// BatchTime is the time after which a transaction takes no further event, so that slow statements do not
// hide the progress of a model, or lose much of it when the node stops.
const BatchTime = time.Second

// A File is the SQLite file of one model, with the connection that writes it. It contains the text
// of its definition, so that a model whose file has changed meanwhile can be served as it was.
// One goroutine at a time may use it, except that readers are independent.
type File struct {
	*Definition
	path     string
	conn     *connection
	position events.Position
	changed  events.Position
	complete bool
	// statements are those of the events, prepared when they are first used.
	statements map[on][]prepared
	timeout    time.Duration
	batchTime  time.Duration
}

type on struct {
	collection string
	kind       events.Kind
}

type prepared struct {
	Statement
	driver.Stmt
}

// settings of the connection that writes. A commit need not reach the disk: after a power loss the
// file is in an earlier state, and the events since then are applied again.
func writerSettings() url.Values {
	return url.Values{
		"_synchronous": {"NORMAL"}, "_txlock": {"immediate"}, "_journal_mode": {"WAL"},
		"_busy_timeout": {"1000"}, "_cache_size": {"-8192"}, "_foreign_keys": {"false"}, "_recursive_triggers": {"true"},
	}
}

// Create creates the file of a model, without any event. An existing file is removed.
func Create(ctx context.Context, path string, d *Definition) (*File, error) {
	if err := Remove(path); err != nil {
		return nil, err
	}
	c, err := connect(ctx, path, writerSettings())
	if err != nil {
		return nil, fmt.Errorf("create the file of the model %s: %w", d.Name, err)
	}
	f := &File{Definition: d, path: path, conn: c, statements: map[on][]prepared{}, timeout: EventTimeout, batchTime: BatchTime}
	if err := f.create(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("create the file of the model %s: %w", d.Name, err), f.Close(), Remove(path))
	}
	return f, nil
}

func (f *File) create(ctx context.Context) error {
	// One transaction, so that a file with the table of this package is complete.
	if _, err := f.conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	if err := f.Definition.create(ctx, f.conn); err != nil {
		return err
	}
	for _, text := range []string{
		`CREATE TABLE _clusterlite (position INTEGER NOT NULL, changed INTEGER NOT NULL, complete INTEGER NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, definition TEXT NOT NULL, collections TEXT NOT NULL)`,
		fmt.Sprintf(`PRAGMA user_version = %d`, tablesVersion),
	} {
		if _, err := f.conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	if _, err := f.conn.ExecContext(ctx, `INSERT INTO _clusterlite VALUES (0, 0, 0, ?, ?, ?, ?)`, f.Name, f.file, f.Text, strings.Join(f.Collections, ",")); err != nil {
		return err
	}
	_, err := f.conn.ExecContext(ctx, `COMMIT`)
	return err
}

// ErrOtherVersion means that a file has tables of another version, or none. It has to be built again.
var ErrOtherVersion = errors.New("the file was made by another version")

// Open opens an existing file.
func Open(ctx context.Context, path string) (*File, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open the file of a model: %w", err)
	}
	c, err := connect(ctx, path, writerSettings())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := &File{path: path, conn: c, statements: map[on][]prepared{}, timeout: EventTimeout, batchTime: BatchTime}
	if err := f.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	return f, nil
}

func (f *File) open(ctx context.Context) error {
	var version int
	if err := f.conn.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version != tablesVersion {
		return ErrOtherVersion
	}
	var name, file, text, declared string
	if err := f.conn.QueryRowContext(ctx, `SELECT name, file, definition, collections FROM _clusterlite`).Scan(&name, &file, &text, &declared); err != nil {
		return err
	}
	d, err := Load(ctx, name, file, text, strings.Split(declared, ","))
	if err != nil {
		return err
	}
	f.Definition = d
	return f.reload(ctx)
}

// reload reads the position, when the file is opened and after a rollback.
func (f *File) reload(ctx context.Context) error {
	return f.conn.QueryRowContext(ctx, `SELECT position, changed, complete FROM _clusterlite`).Scan(&f.position, &f.changed, &f.complete)
}

// LimitBatches changes the time after which a transaction takes no further event.
func (f *File) LimitBatches(d time.Duration) { f.batchTime = d }

// Path is the path of the file.
func (f *File) Path() string { return f.path }

// Position is the position in the log up to which events are applied.
func (f *File) Position() events.Position { return f.position }

// Complete reports whether the file has been built once, so that it may be served.
func (f *File) Complete() bool { return f.complete }

// MarkComplete records that the file has been built.
func (f *File) MarkComplete(ctx context.Context) error {
	if _, err := f.conn.ExecContext(ctx, `UPDATE _clusterlite SET complete = 1`); err != nil {
		return fmt.Errorf("mark the file of the model %s as complete: %w", f.Name, err)
	}
	f.complete = true
	return nil
}

// Apply applies events in one transaction and moves the position to to. After [BatchTime] it takes no
// further event, and moves the position to the last one that it has applied. If an event fails, the
// events before it are applied, and the error is an [EventError]. Other errors, such as those of
// a full disk, change nothing and may pass.
func (f *File) Apply(ctx context.Context, batch []Event, to events.Position) error {
	err := f.apply(ctx, batch, to)
	var failed *EventError
	if !errors.As(err, &failed) {
		return err
	}
	if n := indexOf(batch, failed.Event.Position); n >= 0 && failed.Event.Position-1 > f.position {
		again := f.apply(ctx, batch[:n], failed.Event.Position-1)
		if again != nil || f.position < failed.Event.Position-1 { // the next batch has the event again
			return again
		}
	}
	return err
}

func indexOf(batch []Event, position events.Position) int {
	for i := range batch {
		if batch[i].Position == position {
			return i
		}
	}
	return -1
}

func (f *File) apply(ctx context.Context, batch []Event, to events.Position) (err error) {
	if err := ctx.Err(); err != nil {
		return err // the driver may not notice
	}
	if _, err := f.conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return fmt.Errorf("apply events to the model %s: %w", f.Name, err)
	}
	defer func() {
		if err == nil {
			return
		}
		// It must also end if ctx has ended. SQLite may have rolled back by itself.
		_, _ = f.conn.ExecContext(context.Background(), `ROLLBACK`)
	}()
	changed := f.changed
	err = f.conn.Raw(func(raw any) error {
		n, ran, err := f.run(ctx, raw.(*sqlite3.SQLiteConn), batch)
		if changed = max(changed, ran); n < len(batch) && err == nil {
			to = batch[n-1].Position
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := f.conn.ExecContext(ctx, `UPDATE _clusterlite SET position = ?, changed = ?`, int64(to), int64(changed)); err != nil {
		return fmt.Errorf("apply events to the model %s: %w", f.Name, err)
	}
	if _, err := f.conn.ExecContext(ctx, `COMMIT`); err != nil {
		return fmt.Errorf("apply events to the model %s: %w", f.Name, err)
	}
	f.position, f.changed = to, changed
	return nil
}

// errSlow is the cause for which the context of a slow event ends.
var errSlow = errors.New("the statements of the event took too long")

// run runs the statements of events. It returns the number of events, which is at least one if there are
// any, and the position of the last one that had statements.
func (f *File) run(ctx context.Context, conn *sqlite3.SQLiteConn, batch []Event) (n int, changed events.Position, err error) {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.timeout, func() { cancel(errSlow) })
	defer watchdog.Stop()
	f.conn.box.mode = applying
	defer func() { f.conn.box.mode = trusted }()
	args := make([]driver.NamedValue, len(eventArguments))
	for ; n < len(batch); n++ {
		if n > 0 && time.Since(began) > f.batchTime {
			return n, changed, nil
		}
		e := &batch[n]
		statements, err := f.prepare(ctx, conn, e)
		if err != nil {
			return n, changed, err
		}
		if len(statements) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return n, changed, context.Cause(ctx)
		}
		watchdog.Reset(f.timeout)
		for _, s := range statements {
			for i, name := range s.arguments {
				args[i] = driver.NamedValue{Ordinal: i + 1, Value: e.argument(name)}
			}
			if err := s.run(ctx, args[:len(s.arguments)]); err != nil {
				return n, changed, f.failed(ctx, e, s.Statement, err)
			}
		}
		changed = e.Position
	}
	return n, changed, nil
}

// failed distinguishes a statement that can't be applied to this event from a temporary storage failure.
func (f *File) failed(ctx context.Context, e *Event, s Statement, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errSlow) {
		err = fmt.Errorf("%w: the maximum is %s", errSlow, f.timeout)
	} else if cause != nil {
		return cause
	}
	var failure sqlite3.Error
	if errors.As(err, &failure) {
		switch failure.Code {
		case sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrCantOpen, sqlite3.ErrReadonly, sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrNomem:
			return fmt.Errorf("apply events to the model %s: %w", f.Name, err)
		}
	}
	failed := &EventError{Event: *e, Statement: s, Err: f.conn.box.explain(err)}
	// The documents may be large, and the error stays in memory.
	failed.Event.Document, failed.Event.Previous = nil, nil
	return failed
}

// prepare returns the statements of an event.
func (f *File) prepare(ctx context.Context, conn *sqlite3.SQLiteConn, e *Event) ([]prepared, error) {
	key := on{e.Collection, e.Kind}
	if statements, ok := f.statements[key]; ok {
		return statements, nil
	}
	var all []prepared
	for _, s := range f.For(e.Collection, e.Kind) {
		run, err := conn.PrepareContext(ctx, s.sql)
		if err != nil {
			return nil, f.failed(ctx, e, s, err)
		}
		all = append(all, prepared{s, run})
	}
	f.statements[key] = all
	return all, nil
}

// run runs the statement. The driver's Exec would start a goroutine to be able to interrupt it, and call
// into C for each argument. Its Query does neither.
func (p prepared) run(ctx context.Context, args []driver.NamedValue) error {
	rows, err := p.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return err
	}
	// The statement has ended. It has rows only if it has a RETURNING, and they have no meaning.
	if err := rows.Next(nil); err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, rows.Close())
	}
	return rows.Close()
}

// Close closes the file.
func (f *File) Close() error {
	var errs []error
	for _, statements := range f.statements {
		for _, s := range statements {
			errs = append(errs, s.Stmt.Close())
		}
	}
	f.statements = nil
	return errors.Join(append(errs, f.conn.close())...)
}

// Remove removes the file of a model, if there is one.
func Remove(path string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		if err := os.Remove(filepath.Clean(path) + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the file of a model: %w", err)
		}
	}
	return nil
}
