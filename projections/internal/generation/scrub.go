package generation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// Scrub checks table by table, each in a read transaction of its own, so that the write-ahead
// log can be truncated in between. It pauses for as long as it works.
func (g *Generation) Scrub(ctx context.Context) error {
	var tables []string
	if err := g.onExport(ctx, func(r *sqlite.Conn) error {
		return r.SelectContext(ctx, &tables, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	}); err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	rest := newRest()
	for _, table := range tables {
		if err := g.checkTable(ctx, table); err != nil {
			return err
		}
		if err := rest.take(ctx); err != nil {
			return err
		}
	}
	collections, err := g.collections(ctx)
	if err != nil {
		return err
	}
	for _, collection := range collections {
		if err := g.addUp(ctx, collection, rest); err != nil {
			return err
		}
	}
	return nil
}

func (g *Generation) collections(ctx context.Context) ([]string, error) {
	s, err := g.BeginLongRead(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // a read has nothing to lose
	return s.Collections(ctx)
}

// onExport runs a read on a connection for long reads.
func (g *Generation) onExport(ctx context.Context, do func(*sqlite.Conn) error) error {
	r, err := g.DB.Exports.Acquire(ctx)
	if err != nil {
		return err
	}
	defer r.Release()
	return do(r)
}

// BeginLongRead opens a read transaction on a connection for long reads. It waits for a free
// one.
func (g *Generation) BeginLongRead(ctx context.Context) (*reads.Tx, error) {
	r, err := g.DB.Exports.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return reads.Begin(r, g.DB.Path, func() {}, nil)
}

// checkTable has SQLite check the structure of a table and its indexes.
func (g *Generation) checkTable(ctx context.Context, name string) error {
	var findings []string
	if err := g.onExport(ctx, func(r *sqlite.Conn) error {
		return r.SelectContext(ctx, &findings, `SELECT quick_check FROM pragma_quick_check(?)`, name)
	}); err != nil {
		return fmt.Errorf("check the table %s: %w", name, err)
	}
	if len(findings) == 1 && findings[0] == "ok" {
		return nil
	}
	return &storagefault.Error{Fault: storagefault.Corrupt, Path: g.DB.Path, Err: fmt.Errorf("the check of the table %s found: %s", name, strings.Join(findings, "; "))}
}

// addUp compares the rows of a collection with its digest.
func (g *Generation) addUp(ctx context.Context, collection string, rest *rest) error {
	s, err := g.BeginLongRead(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // a read has nothing to lose
	kept, err := s.Summaries(ctx)
	if err != nil {
		return err
	}
	const every = 1 << 12
	rows := 0
	step := func() error {
		if rows++; rows%every == 0 {
			return rest.take(ctx)
		}
		return nil
	}
	found, err := s.AuditCollection(ctx, collection, step, step)
	if err != nil {
		return storagefault.UnreadableRow(g.DB.Path, err)
	}
	if found.Kept = kept[collection]; found.Differs() {
		return &storagefault.Error{Fault: storagefault.Corrupt, Path: g.DB.Path, Err: fmt.Errorf("at position %d the rows of %s differ from those that were written", s.At, collection)}
	}
	return rest.take(ctx)
}

// rest makes a task pause for as long as it has worked since the last pause.
type rest struct{ since time.Time }

func newRest() *rest { return &rest{time.Now()} }

func (r *rest) take(ctx context.Context) error {
	defer func() { r.since = time.Now() }()
	select {
	case <-time.After(time.Since(r.since)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
