package projections

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
)

// declared loads the collection products with the properties in the text of a schema.
func declared(t testing.TB, properties string) *collections.Set {
	t.Helper()
	dir := t.TempDir()
	schema := `{"title":"products","type":"object","properties":{` + properties + `}}`
	if err := os.WriteFile(filepath.Join(dir, "products.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// drawProperties draws properties that a schema may declare: names that differ only in case
// between two schemas, and all types, each with and without an index.
func drawProperties(t *rapid.T) string {
	var all []string
	for _, names := range [][]string{{"name", "Name"}, {"price"}, {"stock"}, {"a"}, {"b"}} {
		if rapid.Bool().Draw(t, "there") {
			kind := rapid.SampledFrom([]string{"string", "integer", "number", "boolean", "array"}).Draw(t, "type")
			keyword := ""
			if kind != "array" {
				keyword = rapid.SampledFrom([]string{"", `,"x-index":true`, `,"x-index":false`}).Draw(t, "index")
				if kind == "string" && rapid.Bool().Draw(t, "nocase") {
					keyword += `,"x-unique":"nocase"`
				}
			}
			all = append(all, fmt.Sprintf(`%q:{"type":%q%s}`, rapid.SampledFrom(names).Draw(t, "name"), kind, keyword))
		}
	}
	return strings.Join(all, ",")
}

// shape returns the columns, types and indexes that the file has for products.
func (f *file) shape() []string {
	f.t.Helper()
	var shape []string
	if err := f.db.Lists.Pool.Select(&shape, `
		SELECT name || ' ' || type || ' ' || hidden FROM pragma_table_xinfo('products')
		UNION ALL SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'products' AND sql IS NOT NULL
		ORDER BY 1`); err != nil {
		f.t.Fatal(err)
	}
	return shape
}

// reopen closes the file and opens it with other collections.
func (f *file) reopen(set *collections.Set, logger *slog.Logger) *file {
	f.t.Helper()
	f.close()
	return openFile(f.t, f.db.Path, set, logger)
}

// However schemas change, the table equals the one that a new node creates, with all rows.
func TestAChangedSchemaGivesTheTableOfANewNode(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		old := newFileOf(t, declared(t, drawProperties(rt)))
		rows := []product{
			{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"name": "É", "Name": true, "price": 1.5, "stock": "x", "a": []int{1}}},
			{"0193a1a0-0000-7000-8000-000000000002", map[string]any{"name": 7, "price": nil, "b": map[string]any{}}},
		}
		for _, one := range rows {
			old.applyAll(t, created(t, one))
		}
		now := old
		for range rapid.IntRange(1, 2).Draw(rt, "changes") {
			properties := drawProperties(rt)
			set := declared(t, properties)
			now = now.reopen(set, slog.New(slog.DiscardHandler))
			fresh := newFileOf(t, set)
			for _, one := range rows {
				fresh.applyAll(t, created(t, one))
			}
			if got, want := now.shape(), fresh.shape(); !reflect.DeepEqual(got, want) {
				rt.Fatalf("%s: got %q, want %q", properties, got, want)
			}
			c, _ := set.Get("products")
			for _, col := range query.Columns(c) {
				for ; ; col = col.Folded() {
					if got, want := columnOf(t, now, col), columnOf(t, fresh, col); !reflect.DeepEqual(got, want) {
						rt.Fatalf("%s: %s: got %v, want %v", properties, listsql.ColumnName(col), got, want)
					}
					if !col.IgnoresCase() || col.IsFolded() {
						break
					}
				}
			}
			fresh.close()
		}
		now.applyAll(t, created(t, product{"0193a1a0-0000-7000-8000-000000000003", map[string]any{"name": "c"}}))
		now.close()
	})
}

func columnOf(t testing.TB, f *file, c query.Column) (values []string) {
	t.Helper()
	if err := f.db.Lists.Pool.Select(&values, `SELECT coalesce(`+listsql.ColumnName(c)+`, 'NULL') FROM products ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestAChangeIsLoggedOnce(t *testing.T) {
	f := newFileOf(t, declared(t, `"name":{"type":"string"},"old":{"type":"string","x-index":true}`))
	f.applyAll(t, created(t, product{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"name": "a"}}))
	set := declared(t, `"name":{"type":"string","x-index":true}`)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	f = f.reopen(set, logger)
	for _, said := range []string{"drop the index on old", "drop the column old", "add an index on name", "of=3", "entities=1", "collection=products"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("got this log, want it to contain %q:\n%s", said, log.String())
		}
	}
	log.Reset()
	f.reopen(set, logger)
	if log.Len() > 0 {
		t.Errorf("second open: got this log, want none:\n%s", log.String())
	}
}

// Nothing but the log reports that a field has become unique. The warning must appear, and only
// with cause.
func TestANewlyUniqueFieldIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	plain, unique := `"name":{"type":"string","x-index":true}`, `"name":{"type":"string","x-unique":true}`
	f := openFile(t, filepath.Join(t.TempDir(), "new.db"), declared(t, unique), logger)
	f = f.reopen(declared(t, plain), logger)
	f = f.reopen(declared(t, unique), logger)
	if log.Len() > 0 {
		t.Errorf("without an entity: got this log, want none:\n%s", log.String())
	}
	f.applyAll(t, created(t, product{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"name": "a"}}))
	f = f.reopen(declared(t, unique), logger)
	f = f.reopen(declared(t, plain), logger)
	if strings.Contains(log.String(), "has become unique") {
		t.Errorf("a field that is not unique: got this log, want no warning:\n%s", log.String())
	}
	f = f.reopen(declared(t, unique), logger)
	if n := strings.Count(log.String(), "has become unique"); n != 1 || !strings.Contains(log.String(), "fields=[name] entities=1") {
		t.Errorf("got %d warnings, want 1 with the field and the number of entities:\n%s", n, log.String())
	}
	f.reopen(declared(t, unique), logger)
	if n := strings.Count(log.String(), "has become unique"); n != 1 {
		t.Errorf("after another open: got %d warnings, want 1", n)
	}
}

// sentences is a writer that sends each log line to a channel.
type sentences chan string

func (s sentences) Write(b []byte) (int, error) { s <- string(b); return len(b), nil }

func TestALongChangeLogsItsProgress(t *testing.T) {
	said := make(sentences, 100)
	failed := errors.New("disk full")
	err := schema.LogProgress(slog.New(slog.NewTextHandler(said, nil)), time.Millisecond, func() error {
		for range 2 {
			if line := <-said; !strings.Contains(line, "for=") {
				t.Errorf("got line %s, want it to contain for=", line)
			}
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
}
