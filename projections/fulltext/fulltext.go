// Package fulltext makes the read model behind the full-text search of a collection. It is a model in
// SQL like those of a folder, and follows the journal, so that it costs writes nothing.
package fulltext

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/modelquery"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// Name is the name of the model of a collection. No file can have it.
func Name(collection string) string { return "_search_" + collection }

// Definitions returns the models of all collections that declare properties to search. It returns
// [sqlmodel.ErrNoFullText] if the program was built without FTS5.
func Definitions(ctx context.Context, set *collections.Set) (all []*sqlmodel.Definition, err error) {
	for _, c := range set.All() {
		searched := c.Searched()
		if len(searched) == 0 {
			continue
		}
		d, err := sqlmodel.Load(ctx, Name(c.Name()), "the full-text search of "+c.Name(), text(c.Name(), searched), []string{c.Name()})
		if err != nil {
			return nil, fmt.Errorf("define the full-text search of %s: %w", c.Name(), err)
		}
		all = append(all, d)
	}
	return all, nil
}

// begin and end enclose a match in a snippet. Unlike tags, they can be distinguished from the text of a
// document.
const (
	begin = "\x02"
	end   = "\x03"
)

// text returns the file of a model. The names of collections and of properties that extensions are on
// consist of letters, digits and underscores. A property can have a name that FTS5 reserves, so its
// columns are numbered.
func text(collection string, properties []string) string {
	columns, values, snippets := make([]string, len(properties)), make([]string, len(properties)), make([]string, len(properties))
	for i, p := range properties {
		columns[i] = fmt.Sprintf("c%d", i)
		values[i] = fmt.Sprintf(":document ->> '%s'", p)
		snippets[i] = fmt.Sprintf("snippet(_texts, %d, char(2), char(3), '…', 16) AS \"%s\"", i, p)
	}
	r := strings.NewReplacer("COLLECTION", collection, "COLUMNS", strings.Join(columns, ", "), "VALUES", strings.Join(values, ", "), "SNIPPETS", strings.Join(snippets, ", "))
	return r.Replace(`-- Full-text search.
CREATE TABLE _keys (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL);
CREATE VIRTUAL TABLE _texts USING fts5 (COLUMNS, tokenize = 'unicode61 remove_diacritics 2');
-- on: COLLECTION.created, COLLECTION.updated
INSERT INTO _keys (id, version) SELECT :id, :version WHERE true ON CONFLICT (id) DO UPDATE SET version = excluded.version;
INSERT OR REPLACE INTO _texts (rowid, COLUMNS) SELECT key, VALUES FROM _keys WHERE id = :id;
-- on: COLLECTION.deleted
DELETE FROM _texts WHERE rowid = (SELECT key FROM _keys WHERE id = :id);
DELETE FROM _keys WHERE id = :id;
-- query: hits(q text)
SELECT k.id AS id, k.version AS version FROM _texts JOIN _keys k ON k.key = _texts.rowid WHERE _texts MATCH :q ORDER BY bm25(_texts), k.id;
-- query: snippets(q text, id text)
SELECT SNIPPETS FROM _texts WHERE _texts MATCH :q AND rowid = (SELECT key FROM _keys WHERE id = :id);
`)
}

// ErrNoWords means that a request has no word to search for.
var ErrNoWords = errors.New("the text has no words")

// Expression turns what a client searches for into an expression of FTS5: all words have to occur. A
// word that ends with * stands for all words that begin with it. Text in double quotes is a phrase. No
// other character has a meaning.
func Expression(q string) (string, error) {
	var terms []string
	for i, part := range strings.Split(q, `"`) {
		if i%2 == 1 {
			terms = appendTerm(terms, part, "")
			continue
		}
		for _, word := range strings.Fields(part) {
			if prefix, is := strings.CutSuffix(word, "*"); is {
				terms = appendTerm(terms, prefix, "*")
			} else {
				terms = appendTerm(terms, word, "")
			}
		}
	}
	if len(terms) == 0 {
		return "", ErrNoWords
	}
	return strings.Join(terms, " AND "), nil
}

// appendTerm appends a phrase, unless it has no letter or digit.
func appendTerm(terms []string, phrase, suffix string) []string {
	phrase = strings.ReplaceAll(phrase, "\x00", " ")
	if !strings.ContainsFunc(phrase, isWord) {
		return terms
	}
	return append(terms, `"`+phrase+`"`+suffix)
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

// A Hit is an entity that matches, in the version that does.
type Hit struct {
	ID      string
	Version int64
}

// Hits passes at most max entities that match an expression to each, the best first.
func Hits(ctx context.Context, tx *sqlmodel.Tx, expression string, max int, each func(Hit) error) error {
	return modelquery.Run(ctx, tx, named(tx, "hits"), map[string]any{"q": expression}, max, func(row []any) error {
		id, _ := row[0].(string)
		version, _ := row[1].(int64)
		return each(Hit{id, version})
	})
}

// Snippets returns, for each property in which a word occurs, the part of its text that matches, as HTML
// in which matches are in <mark>.
func Snippets(ctx context.Context, tx *sqlmodel.Tx, expression, id string) (html map[string]string, err error) {
	q := named(tx, "snippets")
	html = map[string]string{}
	err = modelquery.Run(ctx, tx, q, map[string]any{"q": expression, "id": id}, 1, func(row []any) error {
		for i, value := range row {
			if text, _ := value.(string); strings.Contains(text, begin) {
				html[q.Columns[i].Name] = marks.Replace(text)
			}
		}
		return nil
	})
	return html, err
}

// marks escapes a text for HTML and makes marks of the bytes around matches.
var marks = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", begin, "<mark>", end, "</mark>")

func named(tx *sqlmodel.Tx, name string) sqlmodel.Query {
	for _, q := range tx.Queries {
		if q.Name == name {
			return q
		}
	}
	return sqlmodel.Query{} // the definition is that of this package
}
