package schema

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/collections"
)

// progressInterval is the interval between log lines about a long change of a table.
const progressInterval = 3 * time.Second

// affinity maps the type of a property to the SQLite type of its column.
var affinity = map[string]string{"string": "TEXT", "integer": "INTEGER", "number": "REAL", "boolean": "INTEGER"}

// A change is one step from the present table to the declared one.
type change struct {
	means     string // a description for the log
	statement string
}

// declare brings a collection's table in line with its declaration: a virtual column for each
// scalar property, which takes no space, and an index where declared. It keeps columns and indexes
// that match, drops those that are no longer declared, and recreates those whose type has changed.
// Only new indexes and values that must be folded take long. SQLite reads and sorts the whole table
// for an index without reporting progress.
func declare(ctx context.Context, tx *sqlx.Tx, c *collections.Collection, logger *slog.Logger) error {
	if _, err := tx.ExecContext(ctx, CreateCollection(c.Name())); err != nil {
		return fmt.Errorf("create the table of %s: %w", c.Name(), err)
	}
	present, err := generatedColumns(ctx, tx, c.Name())
	if err != nil {
		return err
	}
	indexes, err := ownIndexes(ctx, tx, c.Name())
	if err != nil {
		return err
	}
	living, err := livingIn(ctx, tx, c.Name())
	if err != nil {
		return err
	}
	if living == 0 {
		logger = slog.New(slog.DiscardHandler) // nothing worth logging for a new table
	}
	columns, added := changesTo(c, present, indexes)
	of := len(columns) + len(added)
	change := func(first int, changes []change) error {
		for i, ch := range changes {
			log := logger.With("collection", c.Name(), "change", ch.means, "number", first+i+1, "of", of, "entities", living)
			if err := LogProgress(log, progressInterval, func() error { _, err := tx.ExecContext(ctx, ch.statement); return err }); err != nil {
				return fmt.Errorf("change the table of %s: %s: %w", c.Name(), ch.means, err)
			}
		}
		return nil
	}
	if err := change(0, columns); err != nil {
		return err
	}
	if err := declareFolded(ctx, tx, c, logger); err != nil {
		return err
	}
	if err := change(len(columns), added); err != nil {
		return err
	}
	return declareUnique(ctx, tx, c, living, logger)
}

// LogProgress runs do, which may take long, and logs at intervals how long it has been running,
// and its end.
func LogProgress(log *slog.Logger, every time.Duration, do func() error) error {
	start := time.Now()
	finished, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-finished:
				return
			case <-ticker.C:
				log.Info("changing a table to match its collection", "for", time.Since(start).Round(time.Second))
			}
		}
	}()
	err := do()
	close(finished)
	<-stopped
	if err == nil {
		log.Info("changed a table to match its collection", "took", time.Since(start).Round(time.Millisecond))
	}
	return err
}

// A wantedColumn is a declared virtual column. kind is its SQLite type, and value the
// expression for its values.
type wantedColumn struct{ name, kind, value string }

// wantedColumns returns the declared columns of a collection.
func wantedColumns(c *collections.Collection) (all []wantedColumn) {
	for _, p := range c.Properties() {
		// The name in the path is quoted for JSON. A property's name consists of letters,
		// digits and underscores.
		path := fmt.Sprintf(`'$."%s"'`, p.Name)
		all = append(all, wantedColumn{p.Name, affinity[p.Type], `doc ->> ` + path})
		if p.NoCase {
			all = append(all, wantedColumn{FoldedColumn(p.Name), affinity[p.Type], `_folded ->> ` + path})
		}
	}
	return all
}

// Declaration returns the statements that create the table of a collection with its declared
// columns, without indexes.
func Declaration(c *collections.Collection) []string {
	statements := []string{CreateCollection(c.Name())}
	columns, _ := changesTo(c, nil, nil)
	for _, ch := range columns {
		statements = append(statements, ch.statement)
	}
	return statements
}

// wantedIndexes returns the names of a collection's declared indexes, and what each is on.
func wantedIndexes(c *collections.Collection) (names []string, on map[string]string) {
	on = map[string]string{}
	add := func(name, what string) {
		name = indexName(c.Name(), name)
		names, on[name] = append(names, name), what
	}
	for _, p := range c.Properties() {
		// Include the id, with which every sort ends.
		if p.Index || p.Unique {
			add(p.Name, `(`+Quote(p.Name)+`, id)`)
		}
		if p.NoCase {
			folded := Quote(FoldedColumn(p.Name))
			add(FoldedColumn(p.Name), `(`+folded+`, id) WHERE `+folded+` IS NOT NULL`)
		}
	}
	if len(foldedProperties(c)) > 0 {
		add("_folded", `(id) WHERE _folded IS NULL`)
	}
	return names, on
}

// changesTo returns the steps from the present columns (types by name) and indexes to the
// declared ones. New indexes come last.
func changesTo(c *collections.Collection, present map[string]string, indexes []string) (changes, added []change) {
	table := Quote(c.Name())
	columns := wantedColumns(c)
	names, on := wantedIndexes(c)
	wanted := map[string]string{}
	for _, col := range columns {
		wanted[col.name] = col.kind
	}
	var stale []string // columns to drop
	for name, kind := range present {
		if wanted[name] != kind {
			stale = append(stale, name)
		}
	}
	slices.Sort(stale)
	for _, name := range indexes {
		_, column, _ := strings.Cut(name, ".")
		if on[name] == "" || slices.Contains(stale, column) {
			changes = append(changes, change{"drop the index on " + column, `DROP INDEX ` + Quote(name)})
		}
	}
	for _, name := range stale {
		changes = append(changes, change{"drop the column " + name, `ALTER TABLE ` + table + ` DROP COLUMN ` + Quote(name)})
	}
	for _, col := range columns {
		if present[col.name] != col.kind {
			changes = append(changes, change{"add the column " + col.name,
				fmt.Sprintf(`ALTER TABLE %s ADD COLUMN %s %s GENERATED ALWAYS AS (%s) VIRTUAL`, table, Quote(col.name), col.kind, col.value)})
		}
	}
	for _, name := range names {
		_, column, _ := strings.Cut(name, ".")
		if !slices.Contains(indexes, name) || slices.Contains(stale, column) {
			added = append(added, change{"add an index on " + column, `CREATE INDEX ` + Quote(name) + ` ON ` + table + ` ` + on[name]})
		}
	}
	return changes, added
}

// indexName names the index on a property. Neither part contains a dot.
func indexName(collection, property string) string { return collection + "." + property }

// generatedColumns returns the columns that stand for properties, with their types.
func generatedColumns(ctx context.Context, tx *sqlx.Tx, table string) (map[string]string, error) {
	const virtual = 2 // the value of hidden for virtual columns
	var rows []struct {
		Name string `db:"name"`
		Type string `db:"type"`
	}
	if err := tx.SelectContext(ctx, &rows, `SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden = ?`, table, virtual); err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", table, err)
	}
	types := make(map[string]string, len(rows))
	for _, r := range rows {
		// SQLite appends this to the type of a generated column.
		types[r.Name] = strings.TrimSpace(strings.TrimSuffix(r.Type, "GENERATED ALWAYS"))
	}
	return types, nil
}

// ownIndexes returns the names of the indexes on properties.
func ownIndexes(ctx context.Context, tx *sqlx.Tx, table string) (names []string, err error) {
	if err = tx.SelectContext(ctx, &names, `SELECT name FROM pragma_index_list(?) WHERE origin = 'c' ORDER BY name`, table); err != nil {
		return nil, fmt.Errorf("read the indexes of %s: %w", table, err)
	}
	return names, nil
}

func livingIn(ctx context.Context, tx *sqlx.Tx, collection string) (n int64, err error) {
	if err = tx.GetContext(ctx, &n, `SELECT coalesce((SELECT living FROM _digests WHERE collection = ?), 0)`, collection); err != nil {
		return 0, fmt.Errorf("count the entities of %s: %w", collection, err)
	}
	return n, nil
}
