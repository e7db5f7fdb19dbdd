package projections

import (
	"slices"

	"github.com/clusterlite/clusterlite/events/collections"
)

// A Kind is the type of a column's values.
type Kind int

// The kinds, and how their values are given in Go.
const (
	Text    Kind = iota // string
	Integer             // int64, or float64 beyond its range
	Number              // float64
	Boolean             // bool
	Time                // string in events.TimeFormat
)

// A Column is what a list can be filtered and sorted by. Columns come from [Columns]
// alone, so that no name of a request reaches SQL.
type Column struct {
	name     string
	kind     Kind
	nullable bool
	indexed  bool
}

// Name is the name of the member that the column holds.
func (c Column) Name() string { return c.name }

// Kind is the type of its values.
func (c Column) Kind() Kind { return c.kind }

// Indexed tells whether filters and sorts by it are fast.
func (c Column) Indexed() bool { return c.indexed }

var idColumn = Column{name: "id", kind: Text, indexed: true}

var kinds = map[string]Kind{"string": Text, "integer": Integer, "number": Number, "boolean": Boolean}

// Columns gives the columns of a declared collection: the server's four, then one for
// each scalar property.
func Columns(c *collections.Collection) []Column {
	columns := []Column{idColumn, {name: "version", kind: Integer}, {name: "created_at", kind: Time}, {name: "updated_at", kind: Time}}
	for _, p := range c.Properties() {
		// Also a required property is missing where an older schema did not require it.
		columns = append(columns, Column{name: p.Name, kind: kinds[p.Type], nullable: true, indexed: p.Index || p.Unique})
	}
	return columns
}

// An Op compares a column with a value.
type Op int

// The operators. An entity that lacks the member matches NotEqual and no other.
const (
	Equal Op = iota
	NotEqual
	Greater
	GreaterOrEqual
	Less
	LessOrEqual
	Prefix // Text alone; case counts
	In     // any of the values
)

// A Filter is a condition that entities must meet.
type Filter struct {
	Column Column
	Op     Op
	// Values is one value of the column's kind; for In any number.
	Values []any
}

// A SortKey is a column to sort by. Texts sort by their bytes in UTF-8; entities that
// lack the member come first, descending last.
type SortKey struct {
	Column     Column
	Descending bool
}

// A Query asks for entities of a collection.
type Query struct {
	Filters []Filter
	// Sort is what comes first; entities that are equal in it are in order of their ids,
	// in the direction of the last key.
	Sort []SortKey
	// After is the place that the answer starts after; nil for the first page.
	After *Place
	// Limit is the most entities to give; zero means all.
	Limit int
}

// A Place is where an entity stands in a list.
type Place struct {
	// Keys are the entity's values in the columns of the sort: string, int64, float64 or
	// nil.
	Keys []any
	ID   string
}

// keys are the keys to sort by, the id last and once.
func (q Query) keys() []SortKey {
	for i, k := range q.Sort {
		if k.Column == idColumn {
			return q.Sort[:i+1] // nothing is equal in the id
		}
	}
	last := SortKey{Column: idColumn}
	if n := len(q.Sort); n > 0 {
		last.Descending = q.Sort[n-1].Descending
	}
	return append(slices.Clone(q.Sort), last)
}
