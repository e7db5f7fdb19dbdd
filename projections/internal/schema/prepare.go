package schema

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// beginner is a connection, or a pool of one connection, that begins transactions.
type beginner interface {
	BeginTxx(ctx context.Context, options *sql.TxOptions) (*sqlx.Tx, error)
}

// Prepare creates missing tables, brings those of the declared collections in line with their
// declarations, and refuses a file of another version.
func Prepare(ctx context.Context, writer beginner, path string, declared *collections.Set, logger *slog.Logger) error {
	tx, err := writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = tx.Rollback() }() // has no effect after Commit
	var version int
	if err := tx.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if version == ConvertedVersion {
		return ErrOldVersion
	}
	if version != 0 && !Readable(version) {
		return OtherSchema(path, version)
	}
	for _, statement := range append(ServerTables[:len(ServerTables):len(ServerTables)], fmt.Sprintf(`PRAGMA user_version = %d`, SchemaVersion)) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create the tables of %s: %w", path, err)
		}
	}
	for _, c := range declared.All() {
		if err := declare(ctx, tx, c, logger); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// OtherSchema returns the [refusal.Error] for a file whose tables have another version.
func OtherSchema(path string, version int) error {
	return &refusal.Error{Reason: refusal.Schema, Detail: fmt.Sprintf("the tables of %s have schema version %d, but this version of ClusterLite needs schema version %d", path, version, SchemaVersion)}
}
