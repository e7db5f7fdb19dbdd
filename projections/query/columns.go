// Package query describes lists of entities: the columns of a collection, filters, sort keys
// and the cursor at which a page continues. It builds no SQL.
package query

import (
	"slices"

	"github.com/clusterlite/clusterlite/events/collections"
)

// A Kind is the type of a column's values.
type Kind int

// The kinds, and how their values are given in Go.
const (
	Text    Kind = iota // string
	Integer             // int64, or beyond its range float64 or json.Number
	Number              // float64 or json.Number
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
	format   string
	noCase   bool
	folded   bool // the values are folded: see Filter.comparand
}

// Name is the name of the member that the column holds.
func (c Column) Name() string { return c.name }

// Kind is the type of its values.
func (c Column) Kind() Kind { return c.kind }

// Indexed tells whether filters and sorts by it are fast.
func (c Column) Indexed() bool { return c.indexed }

// Nullable tells whether an entity can lack the member, or have null in its place.
func (c Column) Nullable() bool { return c.nullable }

// Format is the format that the schema gives the member, such as date-time; or empty.
func (c Column) Format() string { return c.format }

// IgnoresCase reports whether filters on the column ignore case.
func (c Column) IgnoresCase() bool { return c.noCase }

// Folded returns the column that holds this column's values with their case folded.
func (c Column) Folded() Column {
	c.folded = true
	return c
}

// IsFolded reports whether the column is one that [Folded] returned.
func (c Column) IsFolded() bool { return c.folded }

// IDColumn returns the column that holds the ids of entities.
func IDColumn() Column { return Column{name: "id", kind: Text, indexed: true} }

var kinds = map[string]Kind{"string": Text, "integer": Integer, "number": Number, "boolean": Boolean}

// Columns gives the columns of a declared collection: the server's four, then one for
// each scalar property.
func Columns(c *collections.Collection) []Column {
	columns := []Column{IDColumn(), {name: "version", kind: Integer}, {name: "created_at", kind: Time}, {name: "updated_at", kind: Time}}
	for _, p := range c.Properties() {
		// Also a required property is missing where an older schema did not require it.
		columns = append(columns, Column{
			name: p.Name, kind: kinds[p.Type], nullable: true, indexed: p.Index || p.Unique, format: p.Format, noCase: p.NoCase,
		})
	}
	return columns
}

// An Op compares a column with a value.
type Op int

// The operators. A member that is null counts as missing. An entity that lacks the member
// matches NotEqual, and Present with false, and no other.
//
// Where a unique member ignores case, so do Equal, NotEqual, Prefix and In: they compare as
// uniqueness does. The others compare bytes, in the order in which texts are sorted.
const (
	Equal Op = iota
	NotEqual
	Greater
	GreaterOrEqual
	Less
	LessOrEqual
	Prefix  // Text alone
	In      // any of the values
	Present // the value is true, or false for entities that lack the member
)

// A Filter is a condition that entities must meet.
type Filter struct {
	Column Column
	Op     Op
	// Values is one value of the column's kind; for In any number, for Present one bool.
	Values []any
}

// Nulls is where a sort puts entities that lack a member.
type Nulls int

// The places.
const (
	NullsAsLeast Nulls = iota // before all others, and after them if the sort is descending
	NullsFirst
	NullsLast
)

// A SortKey is a column to sort by. Texts sort by their bytes in UTF-8.
type SortKey struct {
	Column     Column
	Descending bool
	Nulls      Nulls
}

// NullsAtEnd tells whether entities that lack the member come after the others.
func (k SortKey) NullsAtEnd() bool {
	return k.Nulls == NullsLast || k.Nulls == NullsAsLeast && k.Descending
}

// A Query asks for entities of a collection.
type Query struct {
	Filters []Filter
	// Sort is what comes first; entities that are equal in it are in order of their ids,
	// in the direction of the last key.
	Sort []SortKey
	// After is the place that the answer starts after; nil for the first page.
	After *Cursor
	// Limit is the most entities to give; zero means all.
	Limit int
}

// A Cursor is where an entity stands in a list.
type Cursor struct {
	// Keys are the entity's values in the columns of the sort: string, int64, float64 or
	// nil.
	Keys []any
	ID   string
}

// Keys are the keys to sort by, the id last and once.
func (q Query) Keys() []SortKey {
	for i, k := range q.Sort {
		if k.Column == IDColumn() {
			return q.Sort[:i+1] // nothing is equal in the id
		}
	}
	last := SortKey{Column: IDColumn()}
	if n := len(q.Sort); n > 0 {
		last.Descending = q.Sort[n-1].Descending
	}
	return append(slices.Clone(q.Sort), last)
}
