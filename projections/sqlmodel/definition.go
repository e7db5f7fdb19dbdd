package sqlmodel

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/events"
)

// A Definition is a model as its file declares it. It is immutable.
type Definition struct {
	// Name is the name of the file without .sql.
	Name string
	// Text is the content of the file.
	Text string
	// Hash identifies the content, and the collections that * stands for: two definitions with the
	// same hash build the same tables.
	Hash string
	// Collections are the names of the declared collections, sorted. The events of others never
	// reach the model.
	Collections []string
	// Description is the comment at the beginning of the file.
	Description string
	// Access says who may read the model, as an expression over the caller. Empty means that only
	// the role admin may, where callers are authenticated.
	Access string
	// Relations are the tables and views that can be read, in the order of their names.
	Relations []Relation
	// Queries are the named queries, in the order of the file.
	Queries []Query

	file  string
	setup []Statement
	rules []rule
}

// A Statement is a statement of a model, with its place in the file.
type Statement struct {
	File string
	Line int
	// Text is the statement as it is written.
	Text string

	// sql has numbered parameters; arguments are the names for the numbers, from 1 on.
	sql       string
	arguments []string
}

// A rule says which statements an event runs.
type rule struct {
	on         []trigger
	statements []Statement
}

// A trigger matches events. An empty field matches all.
type trigger struct {
	collection string
	kind       events.Kind
}

// For returns the statements that an event runs, in the order of the file. There are none for an
// event of a collection that is not declared, because the log also has what the store itself keeps
// there, such as API keys.
func (d *Definition) For(collection string, kind events.Kind) (statements []Statement) {
	if _, declared := slices.BinarySearch(d.Collections, collection); !declared {
		return nil
	}
	for _, r := range d.rules {
		for _, t := range r.on {
			if (t.collection == "" || t.collection == collection) && (t.kind == "" || t.kind == kind) {
				statements = append(statements, r.statements...)
				break
			}
		}
	}
	return statements
}

// Wants reports whether an event runs statements, and whether any of them uses the document before
// the event.
func (d *Definition) Wants(collection string, kind events.Kind) (event, previous bool) {
	statements := d.For(collection, kind)
	for _, s := range statements {
		previous = previous || slices.Contains(s.arguments, "previous")
	}
	return len(statements) > 0, previous
}

// A Relation is a table or a view.
type Relation struct {
	Name    string
	View    bool
	Columns []Column
	// Key are the names of columns whose values identify a row. It is empty for a view.
	Key []string
}

// A Column is a column of a relation or of the result of a query.
type Column struct {
	Name string
	Kind Kind
	// Nullable reports whether the value may be NULL.
	Nullable bool
}

// Kind is the type of the values of a column or parameter.
type Kind string

// The kinds. Any is that of a column without a declared type, such as an expression in a view.
const (
	Text    Kind = "text"
	Integer Kind = "integer"
	Number  Kind = "number"
	Boolean Kind = "boolean"
	Time    Kind = "time"
	JSON    Kind = "json"
	Any     Kind = ""
)

// A Query is a named query.
type Query struct {
	Name       string
	Parameters []Parameter
	Columns    []Column
	Statement  Statement
}

// A Parameter is a parameter of a named query.
type Parameter struct {
	Name string
	Kind Kind
	// Default is the value if a request has none, as it is written in a request. Required means
	// that there is no default.
	Default  string
	Required bool
}

// ValidName matches the names of models, of the tables and views that they serve, and of their
// queries. A table whose name begins with an underscore is not served.
var ValidName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// identify sets the hash, after the file has been parsed. Line endings have been made the same on all
// systems.
func (d *Definition) identify() {
	content := d.Text
	if d.hasWildcard() {
		content += "\x00" + strings.Join(d.Collections, ",")
	}
	sum := sha256.Sum256([]byte(content))
	d.Hash = hex.EncodeToString(sum[:12])
}

// hasWildcard reports whether the events of all collections run a statement.
func (d *Definition) hasWildcard() bool {
	return slices.ContainsFunc(d.rules, func(r rule) bool {
		return slices.ContainsFunc(r.on, func(t trigger) bool { return t.collection == "" })
	})
}

// SQL returns the statement of the query, and its arguments from the values of its parameters.
func (q Query) SQL(values map[string]any) (text string, args []any) {
	for _, name := range q.Statement.arguments {
		args = append(args, values[name])
	}
	return q.Statement.sql, args
}
