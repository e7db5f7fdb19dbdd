package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/clusterlite/clusterlite/events/atomicfile"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// copyPages is how many pages are copied before ctx is looked at again.
const copyPages = 4096

// Copy writes the read model, as it is at one position, into an ordinary SQLite file that
// no process holds open, while the projection goes on. It replaces a file that is there.
// The file is not synced: if it has to survive a power cut, the caller syncs it.
// It returns [ErrBusy] if too many long reads are running. If there is an error, it leaves
// no file.
func (p *Projection) Copy(ctx context.Context, path string) (copied Built, err error) {
	// In one transaction: a backup that runs over several begins again with each batch.
	s, err := p.LongSnapshot(ctx)
	if err != nil {
		return Built{}, err
	}
	if err := errors.Join(s.CopyTo(ctx, path), s.Close()); err != nil {
		return Built{}, err
	}
	if copied, err = Inspect(ctx, path); err != nil {
		return Built{}, errors.Join(err, removeDatabase(path))
	}
	return copied, nil
}

// CopyTo writes the read model at the snapshot's position into an ordinary SQLite file that no
// process has open. It replaces a file that exists, and does not sync the copy. If there is an
// error, it leaves no file.
func (s *Snapshot) CopyTo(ctx context.Context, path string) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(s.seenCopying(fmt.Errorf("copy the read model to %s: %w", path, err)), removeDatabase(path))
		}
	}()
	if err := removeDatabase(path); err != nil {
		return err
	}
	// Without a rollback journal and without syncs: an incomplete copy is removed, and a node
	// that joins the cluster waits for this.
	target, err := connect(ctx, path, 1, url.Values{"_journal_mode": {"OFF"}, "_synchronous": {"OFF"}})
	if err != nil {
		return err
	}
	return errors.Join(backup(ctx, s.reader.Conn, target), target.Close())
}

// seenCopying is seen for a copy, in which the file that is written may be to blame. Only
// what can't be said of that one is said of the file that is read.
func (s *Snapshot) seenCopying(err error) error {
	if fault, is := faultOf(err); is && fault == FaultCorrupt {
		return s.seen(err)
	}
	return err
}

func backup(ctx context.Context, source *sqlx.Conn, target *sqlx.DB) error {
	to, err := target.Connx(ctx)
	if err != nil {
		return err
	}
	err = onSQLite(to, func(to *sqlite3.SQLiteConn) error {
		return onSQLite(source, func(from *sqlite3.SQLiteConn) error {
			b, err := to.Backup("main", from, "main")
			if err != nil {
				return err
			}
			for done := false; !done && err == nil; {
				if done, err = b.Step(copyPages); err == nil {
					err = ctx.Err()
				}
			}
			return errors.Join(err, b.Finish())
		})
	})
	if err == nil {
		// The copy says of itself that it has a log beside it, as its source has.
		_, err = to.ExecContext(ctx, `PRAGMA journal_mode = DELETE`)
	}
	return errors.Join(err, to.Close())
}

func onSQLite(c *sqlx.Conn, do func(*sqlite3.SQLiteConn) error) error {
	return c.Raw(func(driver any) error {
		conn, ok := driver.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("the driver's connection is a %T", driver)
		}
		return do(conn)
	})
}

// NotAProjectionError is returned for a file that is not a read model.
type NotAProjectionError struct {
	Path string
	Err  error
}

// Error names the file.
func (e *NotAProjectionError) Error() string {
	return fmt.Sprintf("%s is not a read model file: %v", e.Path, e.Err)
}

// Unwrap gives the cause.
func (e *NotAProjectionError) Unwrap() error { return e.Err }

// Inspect tells what an ordinary file holds that nobody has open. It returns an
// [NotAProjectionError] for one that is no read model, and a [RefusedError] for one of
// another version.
func Inspect(ctx context.Context, path string) (built Built, err error) {
	return inspect(ctx, path, "ro")
}

// inspect is Inspect with a mode of SQLite's.
func inspect(ctx context.Context, path, mode string) (built Built, err error) {
	if _, err := os.Stat(path); err != nil {
		return Built{}, err
	}
	db, err := connect(ctx, path, 1, url.Values{"_query_only": {"true"}, "mode": {mode}})
	if err != nil {
		return Built{}, &NotAProjectionError{path, err}
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Connx(ctx)
	if err != nil {
		return Built{}, &NotAProjectionError{path, err}
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := checkVersion(ctx, conn, path); err != nil {
		return Built{}, err
	}
	w := &writer{conn: conn}
	if err := w.load(ctx); err != nil {
		return Built{}, &NotAProjectionError{path, err}
	}
	return builtBy(w), nil
}

func checkVersion(ctx context.Context, conn *sqlx.Conn, path string) error {
	var version int
	if err := conn.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return &NotAProjectionError{path, err}
	}
	var found string
	err := conn.GetContext(ctx, &found, `SELECT name FROM sqlite_schema WHERE name = '_checkpoint'`)
	if errors.Is(err, sql.ErrNoRows) {
		err = errors.New("it has no checkpoint")
	}
	if err != nil {
		return &NotAProjectionError{path, err}
	}
	if version != schemaVersion {
		return otherSchema(path, version)
	}
	return nil
}

// Fits returns a [RefusedError] if a read model can't go on from the log that a topic
// holds: it was built from another, or the log does not have its next record.
func (b Built) Fits(topic string, info eventlog.Info) error {
	if err := sameTopic(b.Topic, b.TopicID, topic, info.ID); err != nil {
		return err
	}
	return outside(b.Position, info)
}

// GoesOn returns a [RefusedError] if the log, described since the read model was made,
// doesn't hold the last record that was applied, or the next. Any other error says that the
// broker could not be asked.
func (b Built) GoesOn(ctx context.Context, log *eventlog.Log, info eventlog.Info) error {
	return b.mark.goesOn(ctx, log, info)
}

// Exists tells whether a node's folder has a projection. The caller holds its lock.
func Exists(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, FileName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Install makes an ordinary file the projection of a stopped node, in place of the one
// that it has, if any: it is renamed, and taken into use by the next [Open]. The file
// must lie in the same folder or at least on the same file system. The caller holds the
// folder's lock.
func Install(dir, path string) error {
	// The generations are left to Open, which takes the ordinary file for the newest one
	// and removes what no link names.
	return atomicfile.Replace(path, filepath.Join(dir, FileName))
}

// Restore is [Install] for a folder that may have a projection. It returns a [LossError]
// if the projection has entities that the file lacks, unless forced; one that has is then
// kept. kept is the path of the projection that was replaced and kept, or empty.
func Restore(ctx context.Context, dir, path string, force bool) (kept string, err error) {
	f := folder{dir: dir}
	if err := f.adopt(); err != nil {
		return "", fmt.Errorf("install %s: %w", f.path(FileName), err)
	}
	serving, err := f.follow(FileName)
	if err != nil {
		return "", err
	}
	if serving != "" {
		keep, _, err := f.keeping(ctx, serving, path, false, false, force)
		if err != nil {
			return "", err
		}
		if keep {
			if err := f.point(PreviousName, serving); err != nil {
				return "", err
			}
			kept = serving
		}
	}
	return kept, Install(dir, path)
}
