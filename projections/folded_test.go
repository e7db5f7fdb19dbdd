package projections

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
)

func TestFoldedValues(t *testing.T) {
	folder := schema.NewValueFolder()
	for doc, want := range map[string]string{
		`{}`:                        `{}`,
		`{"mail":"a@x","name":"A"}`: `{}`,
		`{"id":"x","mail":"A@X","deep":{"mail":"B"},"more":["C"]}`: `{"mail":"a@x"}`,
		`{"other":"ẞ","mail":"e\u0301"}`:                           `{"other":"ss","mail":"é"}`,
		`{"m\u0061il":"\u0041@\u00c9","other":"\"B\""}`:            `{"mail":"a@é","other":"\"b\""}`,
		`{"mail":7,"other":null}`:                                  `{}`,
	} {
		if got, err := folder.Fold([]byte(doc), []string{"mail", "other"}); got != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", doc, got, err, want)
		}
	}
	if got, err := folder.Fold([]byte(`{"mail":"A`), []string{"mail"}); err == nil {
		t.Errorf("a truncated document: got %s, want an error", got)
	}
}

// mails returns the ids of the products with this mail, regardless of case.
func (f *file) mails(t testing.TB, mail string) []string {
	t.Helper()
	set, c := products(t)
	if f.db.Folded["products"] == nil {
		t.Fatalf("got no folded fields of products, want those of %v", set.All())
	}
	return f.found(query.Query{Filters: []query.Filter{{Column: column(t, c, "mail"), Op: query.Equal, Values: []any{mail}}}}, listsql.InOrder)
}

// Rows that an older version wrote, which does not fold values, are folded at the next start:
// all rows of a file that it created, and the rows that it wrote to a file of this version.
func TestAnOlderVersionsRowsAreFolded(t *testing.T) {
	f, _ := newProducts(t)
	const one, two, three = "0193a1a0-0000-7000-8000-000000000001", "0193a1a0-0000-7000-8000-000000000002", "0193a1a0-0000-7000-8000-000000000003"
	f.applyAll(t, created(t, product{one, map[string]any{"mail": "Ada@X"}}), created(t, product{two, map[string]any{"mail": "Bob@X"}}), created(t, product{three, map[string]any{}}))
	older := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := f.w.Conn.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	set, _ := products(t)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	for name, statements := range map[string][]string{
		"made by it": {
			`DROP INDEX "products._fold_mail"`, `DROP INDEX "products._folded"`, `ALTER TABLE products DROP COLUMN _fold_mail`,
			`UPDATE products SET _folded = NULL`, `DELETE FROM _meta WHERE name LIKE 'folded.%'`,
		},
		"written by it":                  {`UPDATE products SET _folded = NULL WHERE id <> unhex(replace('` + two + `', '-', ''))`},
		"folded in another way":          {`UPDATE products SET _folded = '{"mail":"x"}'`, `UPDATE _meta SET value = '0:mail' WHERE name = 'folded.products'`},
		"folded for other properties":    {`UPDATE products SET _folded = '{}'`, `UPDATE _meta SET value = '1:name' WHERE name = 'folded.products'`},
		"written by it after it made it": {`DROP INDEX "products._folded"`, `UPDATE products SET _folded = NULL`},
	} {
		older(statements...)
		log.Reset()
		f = f.reopen(set, logger)
		for mail, want := range map[string][]string{"ada@x": {one}, "ADA@X": {one}, "bob@X": {two}, "eve@x": {}} {
			if got := f.mails(t, mail); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s: got %v, want %v", name, mail, got, want)
			}
		}
		if !strings.Contains(log.String(), `change="fold the values of mail"`) {
			t.Errorf("%s: got this log, want it to report the change:\n%s", name, log.String())
		}
	}
	log.Reset()
	f = f.reopen(set, logger)
	if log.Len() > 0 {
		t.Errorf("nothing to fold: got this log, want none:\n%s", log.String())
	}
}

// Files of earlier versions have a column of all folded values, with an index. It is replaced when
// the file is opened.
func TestAnEarlierColumnOfFoldedValuesIsReplaced(t *testing.T) {
	f, _ := newProducts(t)
	const one, two = "0193a1a0-0000-7000-8000-000000000001", "0193a1a0-0000-7000-8000-000000000002"
	f.applyAll(t, created(t, product{one, map[string]any{"mail": "Ada@X"}}), created(t, product{two, map[string]any{"mail": "bob@x"}}))
	want := f.shape()
	for _, s := range []string{
		`DROP INDEX "products._fold_mail"`, `ALTER TABLE products DROP COLUMN _fold_mail`,
		`ALTER TABLE products ADD COLUMN _folded_mail TEXT GENERATED ALWAYS AS (coalesce(_folded ->> '$."mail"', doc ->> '$."mail"')) VIRTUAL`,
		`CREATE INDEX "products._folded_mail" ON products (_folded_mail, id)`,
	} {
		if _, err := f.w.Conn.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	set, _ := products(t)
	var log bytes.Buffer
	f = f.reopen(set, slog.New(slog.NewTextHandler(&log, nil)))
	if got := f.shape(); !reflect.DeepEqual(got, want) {
		t.Errorf("got columns and indexes %q, want %q", got, want)
	}
	if strings.Contains(log.String(), "fold the values") {
		t.Errorf("got this log, want no value folded again:\n%s", log.String())
	}
	for mail, want := range map[string][]string{"ada@x": {one}, "BOB@x": {two}, "eve@x": {}} {
		if got := f.mails(t, mail); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", mail, got, want)
		}
	}
}

// A filter on one value is expected to select few entities, so it needs no count before it.
func TestOneValueThatIgnoresCaseIsSearched(t *testing.T) {
	f, c := newProducts(t)
	got, err := listsql.ChooseRoute(t.Context(), f.db.Lists.Pool, "products", query.Query{Filters: []query.Filter{{Column: column(t, c, "mail"), Op: query.Equal, Values: []any{"Ada@X"}}}})
	if err != nil || got != listsql.ByFilter {
		t.Errorf("got route %d, %v, want %d", got, err, listsql.ByFilter)
	}
}

// Filters reflect a change at once: of the case of a value, of the value, and of its presence.
func TestFoldedValuesFollowTheDocument(t *testing.T) {
	f, _ := newProducts(t)
	const id = "0193a1a0-0000-7000-8000-000000000001"
	e := created(t, product{id, map[string]any{"mail": "Ada@X"}})
	f.applyAll(t, e)
	for version, mail := range []any{"ADA@X", "Bob@X", nil, 7, "ẞ"} {
		e := created(t, product{id, map[string]any{"mail": mail}})
		e.Kind, e.Version = "updated", int64(version)+2
		f.applyAll(t, e)
		for asked, is := range map[string]any{"ada@x": "ADA@X", "BOB@x": "Bob@X", "7": 7, "SS": "ẞ"} {
			want := []string{}
			if is == mail {
				want = []string{id}
			}
			if got := f.mails(t, asked); !reflect.DeepEqual(got, want) {
				t.Errorf("mail %v, filter %s: got %v, want %v", mail, asked, got, want)
			}
		}
	}
}

// A file that is built from the log holds folded values as soon as an entity is written, so its
// completion doesn't fold them a second time.
func TestAPrivateFileIsFoldedOnce(t *testing.T) {
	set, _ := products(t)
	g, err := generation.OpenPrivate(t.Context(), filepath.Join(t.TempDir(), "private.db"), set)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	if _, err := g.Writer.Apply(t.Context(), []events.Record{{Content: events.HasEvent, Event: created(t, product{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"mail": "Ada@X"}})}}); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := g.Publish(t.Context(), set, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "add an index on _fold_mail") || strings.Contains(log.String(), "fold the values") {
		t.Errorf("got this log, want that of new indexes and no folded values:\n%s", log.String())
	}
	var folded []string
	if err := g.Writer.Conn.SelectContext(t.Context(), &folded, `SELECT _folded FROM products WHERE _fold_mail = 'ada@x'`); err != nil || !reflect.DeepEqual(folded, []string{`{"mail":"ada@x"}`}) {
		t.Errorf("got folded values %q, %v, want those of one product", folded, err)
	}
}
