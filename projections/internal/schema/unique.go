package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/collections"
)

// metaUnique begins the name in _meta of the last declared unique properties of a collection.
const metaUnique = "unique."

// declareUnique records the unique properties of a declared collection, and warns of those that
// have become unique: entities written before hold no claims on them. It warns once, because it
// can't tell whether the claims were appended since.
func declareUnique(ctx context.Context, tx *sqlx.Tx, c *collections.Collection, living int64, logger *slog.Logger) error {
	var unique, added []string
	for _, p := range c.Properties() {
		if p.Unique {
			unique = append(unique, p.Name)
		}
	}
	name := metaUnique + c.Name()
	var before string
	err := tx.GetContext(ctx, &before, `SELECT value FROM _meta WHERE name = ?`, name)
	unknown := errors.Is(err, sql.ErrNoRows)
	if err != nil && !unknown {
		return fmt.Errorf("read the unique fields of %s: %w", c.Name(), err)
	}
	now := strings.Join(unique, ",")
	if now == before && !unknown {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO _meta (name, value) VALUES (?, ?)`, name, now); err != nil {
		return fmt.Errorf("save the unique fields of %s: %w", c.Name(), err)
	}
	if unknown || living == 0 {
		return nil
	}
	for _, property := range unique {
		if !slices.Contains(strings.Split(before, ","), property) {
			added = append(added, property)
		}
	}
	if len(added) > 0 {
		logger.Warn("a field has become unique; entities written before hold no claim on its value. Run `clusterlite reindex` to give them their claims",
			"collection", c.Name(), "fields", added, "entities", living)
	}
	return nil
}
