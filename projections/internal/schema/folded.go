package schema

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
)

// Filters on a unique property that ignores case compare as uniqueness does. SQLite can't fold
// texts by the rules of Unicode, and a custom function in the schema would keep other programs
// from reading the file. So the column _folded of each entity holds its folded values, as a
// JSON object with a member for each value that folding changes. A virtual column for each
// property takes the folded value from there. It is NULL where folding does not change the value,
// and its index has only the other entities: nearly all addresses, for example, are folded
// already.
//
// An older version of ClusterLite leaves _folded empty in what it writes. An index of such rows
// finds them at the next start.

// FoldedColumn names the virtual column of a property's folded values. The name of a property
// never begins with an underscore. Earlier versions had columns with the prefix _folded_, which
// held all values.
func FoldedColumn(property string) string { return "_fold_" + property }

// metaFolded begins the name in _meta of how a collection's _folded was made.
const metaFolded = "folded."

// foldedProperties returns the properties of a collection whose values are folded.
func foldedProperties(c *collections.Collection) (names []string) {
	for _, p := range c.Properties() {
		if p.NoCase {
			names = append(names, p.Name)
		}
	}
	return names
}

// FoldedIn returns the foldedProperties of each collection.
func FoldedIn(declared *collections.Set) map[string][]string {
	folded := map[string][]string{}
	for _, c := range declared.All() {
		folded[c.Name()] = foldedProperties(c)
	}
	return folded
}

// A ValueFolder computes the content of _folded. It reuses its buffers. One goroutine uses it.
type ValueFolder struct {
	text bytes.Buffer // jsontext parses a Buffer in place
	in   *jsontext.Decoder
	out  []byte
}

// NewValueFolder returns a ValueFolder.
func NewValueFolder() *ValueFolder {
	f := &ValueFolder{}
	f.in = jsontext.NewDecoder(&f.text)
	return f
}

// Fold returns the content of _folded for a document.
func (f *ValueFolder) Fold(doc []byte, properties []string) (string, error) {
	if isFolded(doc, properties) {
		return noneFolded, nil
	}
	f.text = *bytes.NewBuffer(doc)
	f.in.Reset(&f.text)
	f.out = append(f.out[:0], '{')
	if _, err := f.in.ReadToken(); err != nil {
		return "", err
	}
	for f.in.PeekKind() == '"' {
		name, err := f.in.ReadValue()
		if err != nil {
			return "", err
		}
		property := named(name, properties)
		if property == "" || f.in.PeekKind() != '"' {
			if err := f.in.SkipValue(); err != nil {
				return "", err
			}
			continue
		}
		value, err := f.in.ReadToken()
		if err != nil {
			return "", err
		}
		if err := f.add(property, value.String()); err != nil {
			return "", err
		}
	}
	if _, err := f.in.ReadToken(); err != nil {
		return "", err
	}
	if len(f.out) == len("{") {
		return noneFolded, nil
	}
	return string(append(f.out, '}')), nil
}

// noneFolded is the content of _folded if folding changes no value.
const noneFolded = "{}"

// isFolded returns true only if folding changes no value of the properties. It may return false even then.
// It does not parse the document, which is faster, and most values are plain ASCII in lower case. It checks
// each string that may be the name of a property, including those in other members, and the string after it.
func isFolded(doc []byte, properties []string) bool {
	if bytes.IndexByte(doc, '\\') >= 0 {
		return false // strings may contain quotes, and names may be escaped
	}
	for _, property := range properties {
		if property == "" {
			return false // bytes.Index would find it everywhere
		}
		for rest := doc; ; {
			at := bytes.Index(rest, []byte(property))
			if at < 0 {
				break
			}
			isString := at > 0 && rest[at-1] == '"'
			rest = rest[at+len(property):]
			if !isString || len(rest) == 0 || rest[0] != '"' {
				continue
			}
			value, ok := bytes.CutPrefix(rest, []byte(`":"`))
			end := bytes.IndexByte(value, '"')
			if !ok || end < 0 || slices.ContainsFunc(value[:end], mayFold) {
				return false
			}
		}
	}
	return true
}

// mayFold reports whether folding may change a text with this byte.
func mayFold(c byte) bool { return c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' }

// named returns the property that a member's name, a JSON string, denotes, or an empty string.
func named(name jsontext.Value, properties []string) string {
	if bytes.IndexByte(name, '\\') < 0 {
		name = name[1 : len(name)-1]
	} else {
		unquoted, err := jsontext.AppendUnquote(nil, name)
		if err != nil {
			return ""
		}
		name = unquoted
	}
	for _, p := range properties {
		if string(name) == p {
			return p
		}
	}
	return ""
}

// add adds a value if folding changes it.
func (f *ValueFolder) add(property, text string) (err error) {
	folded := collections.Fold(text)
	if folded == text {
		return nil
	}
	if len(f.out) > len("{") {
		f.out = append(f.out, ',')
	}
	if f.out, err = jsontext.AppendQuote(f.out, property); err != nil {
		return err
	}
	f.out = append(f.out, ':')
	f.out, err = jsontext.AppendQuote(f.out, folded)
	return err
}

// declareFolded fills _folded where it is empty, or was made for other properties or by other
// rules of folding. It is called after virtual columns are added and before their indexes are.
func declareFolded(ctx context.Context, tx *sqlx.Tx, c *collections.Collection, logger *slog.Logger) error {
	properties := foldedProperties(c)
	if len(properties) == 0 {
		return nil
	}
	if err := forgetFolded(ctx, tx, c.Name(), properties); err != nil {
		return fmt.Errorf("fold the values of %s: %w", c.Name(), err)
	}
	var stale int64
	if err := tx.GetContext(ctx, &stale, `SELECT count(*) FROM `+Quote(c.Name())+` WHERE _folded IS NULL`); err != nil {
		return fmt.Errorf("fold the values of %s: %w", c.Name(), err)
	}
	if stale == 0 {
		return nil
	}
	log := logger.With("collection", c.Name(), "change", "fold the values of "+strings.Join(properties, ", "), "entities", stale)
	return LogProgress(log, progressInterval, func() error { return fold(ctx, tx, c.Name(), properties) })
}

// foldedAs describes how the _folded of a collection is made.
func foldedAs(properties []string) string {
	return strconv.Itoa(collections.FoldVersion) + ":" + strings.Join(properties, ",")
}

// RecordFolded records, in a file without entities, that _folded is made for the declared
// collections. All entities that are then written must have it. Otherwise [Prepare] would fold all
// values again.
func RecordFolded(ctx context.Context, tx sqlx.ExecerContext, declared *collections.Set) error {
	for _, c := range declared.All() {
		properties := foldedProperties(c)
		if len(properties) == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO _meta (name, value) VALUES (?, ?)`, metaFolded+c.Name(), foldedAs(properties)); err != nil {
			return fmt.Errorf("record how the values of %s are folded: %w", c.Name(), err)
		}
	}
	return nil
}

// forgetFolded empties _folded if it was made in another way.
func forgetFolded(ctx context.Context, tx *sqlx.Tx, collection string, properties []string) error {
	name, now := metaFolded+collection, foldedAs(properties)
	var before string
	err := tx.GetContext(ctx, &before, `SELECT value FROM _meta WHERE name = ?`, name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) || before == now {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE `+Quote(collection)+` SET _folded = NULL WHERE _folded IS NOT NULL`); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO _meta (name, value) VALUES (?, ?)`, name, now)
	return err
}

// fold fills _folded where it is empty, some rows at a time.
func fold(ctx context.Context, tx *sqlx.Tx, collection string, properties []string) error {
	const batch = 1000
	table := Quote(collection)
	update, err := tx.PreparexContext(ctx, `UPDATE `+table+` SET _folded = ? WHERE id = ?`)
	if err != nil {
		return err
	}
	defer func() { _ = update.Close() }()
	folder := NewValueFolder()
	for after := []byte{}; ; {
		var rows []struct {
			ID  []byte `db:"id"`
			Doc string `db:"doc"`
		}
		if err := tx.SelectContext(ctx, &rows, `SELECT id, doc FROM `+table+` WHERE _folded IS NULL AND id > ? ORDER BY id LIMIT ?`, after, batch); err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			folded, err := folder.Fold([]byte(r.Doc), properties)
			if err != nil {
				return fmt.Errorf("read the document of %s: %w", rowformat.FormatID(r.ID), err)
			}
			if _, err := update.ExecContext(ctx, folded, r.ID); err != nil {
				return err
			}
		}
		after = rows[len(rows)-1].ID
	}
}
