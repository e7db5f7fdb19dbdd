package generation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/atomicfile"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// Convert converts a file of an earlier version to the tables of this version. It replaces the
// file in one step, after it compared the new rows with the old digests.
func Convert(ctx context.Context, path string, logger *slog.Logger) (err error) {
	began := time.Now()
	logger.Info("converting the projection's file to the tables of this version; this takes a while for a large file", "file", filepath.Base(path))
	made := path + ".converting"
	if err := sqlite.RemoveDatabase(made); err != nil { // left by a crash
		return fmt.Errorf("convert %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("convert %s to the tables of version %d: %w", path, schema.SchemaVersion, err), sqlite.RemoveDatabase(made))
		}
	}()
	// Merge the old file's write-ahead log, which otherwise would be taken for that of the new
	// file.
	if err := sqlite.MergeWALOf(ctx, path); err != nil {
		return err
	}
	if err := convertInto(ctx, path, made); err != nil {
		return err
	}
	differ, err := reads.UnlikeDigests(ctx, made, nil)
	if err != nil {
		return err
	}
	if len(differ) > 0 {
		return &storagefault.Error{Fault: storagefault.Corrupt, Path: path, Err: fmt.Errorf("the rows of %s do not match their digests", strings.Join(differ, ", "))}
	}
	if err := sqlite.MergeWALOf(ctx, made); err != nil {
		return err
	}
	if err := atomicfile.Replace(made, path); err != nil {
		return err
	}
	logger.Info("converted the projection's file", "file", filepath.Base(path), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// convertInto makes a file from the rows of another. It does not sync it.
func convertInto(ctx context.Context, from, to string) (err error) {
	db, err := sqlite.Connect(ctx, to, 1, url.Values{"_journal_mode": {"OFF"}, "_synchronous": {"OFF"}, "_cache_size": {"-65536"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	absolute, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	old := url.URL{Scheme: "file", Path: absolute, RawQuery: "mode=rw"}
	if _, err := conn.ExecContext(ctx, `ATTACH ? AS old`, old.String()); err != nil {
		return err
	}
	collections, err := schema.TablesIn(ctx, conn, "old.sqlite_schema")
	if err != nil {
		return err
	}
	steps := append([]string{fmt.Sprintf(`PRAGMA page_size = %d`, schema.PageSize), `BEGIN`}, schema.ServerTables...)
	steps = append(steps,
		`INSERT INTO main._meta SELECT name, value FROM old._meta WHERE name <> 'last_record'`,
		`REPLACE INTO main._checkpoint (one, position, log_time, last_record)
			SELECT one, position, log_time, coalesce((SELECT value FROM old._meta WHERE name = 'last_record'), '') FROM old._checkpoint`,
		`INSERT INTO main._tombstones SELECT collection, `+schema.Unhexed+`, version, created_at, updated_at FROM old._tombstones`,
		`INSERT INTO main._keys SELECT key, position, at, request_hash, collection, id, version, kind, doc FROM old._keys`,
		`INSERT INTO main._voids SELECT offset, at, reason, detail, event_id, type, entity_id, source FROM old._voids`,
		`INSERT INTO main._void_counts SELECT reason, count FROM old._void_counts`,
		`INSERT INTO main._digests SELECT collection, living, digest FROM old._digests`,
	)
	for _, name := range collections {
		copied, err := convertedRows(ctx, conn, name)
		if err != nil {
			return err
		}
		steps = append(steps, schema.CreateCollection(name), copied)
	}
	for _, step := range steps {
		if _, err := conn.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	if err := convertClaims(ctx, conn); err != nil {
		return err
	}
	for _, step := range []string{fmt.Sprintf(`PRAGMA user_version = %d`, schema.SchemaVersion), `COMMIT`, `DETACH old`} {
		if _, err := conn.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return nil
}

// convertedRows returns the statement that copies a collection's entities. The old documents
// begin with the members that the server adds, which the columns hold too.
func convertedRows(ctx context.Context, conn *sqlx.Conn, collection string) (string, error) {
	var columns []string
	if err := conn.SelectContext(ctx, &columns, `SELECT name FROM pragma_table_info(?, 'old')`, collection); err != nil {
		return "", err
	}
	folded := "NULL" // in a file of the first version
	if slices.Contains(columns, "_folded") {
		folded = "_folded"
	}
	own := fmt.Sprintf(`substr(doc, %d + length(id) + length(version) + length(created_at) + length(updated_at))`, rowformat.ServerMembers+1)
	return `INSERT INTO main.` + schema.Quote(collection) + ` (id, version, created_at, updated_at, doc, _claims, _folded)
		SELECT ` + schema.Unhexed + `, version, created_at, updated_at, iif(` + own + ` = '}', '{}', '{' || substr(` + own + `, 2)), _claims, ` + folded + `
		FROM old.` + schema.Quote(collection) + ` ORDER BY id`, nil
}

func convertClaims(ctx context.Context, conn *sqlx.Conn) error {
	type held struct{ Collection, Claim, ID string }
	const batch = 1000
	for after := (held{}); ; {
		var some []held
		if err := conn.SelectContext(ctx, &some, `SELECT collection, claim, id FROM old._claims WHERE (collection, claim) > (?, ?) ORDER BY collection, claim LIMIT ?`, after.Collection, after.Claim, batch); err != nil {
			return fmt.Errorf("read the claims: %w", err)
		}
		if len(some) == 0 {
			return nil
		}
		for _, h := range some {
			id, err := rowformat.ParseID(h.ID)
			if err != nil {
				return fmt.Errorf("read the claims: %w", err)
			}
			if _, err := conn.ExecContext(ctx, `INSERT INTO main._claims (collection, claim, id) VALUES (?, ?, ?)`, h.Collection, rowformat.PackClaim(h.Claim), id); err != nil {
				return fmt.Errorf("write the claims: %w", err)
			}
		}
		after = some[len(some)-1]
	}
}
