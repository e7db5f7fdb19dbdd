// Package query describes lists of entities: the columns of a collection, filters, sort keys
// and the cursor at which a page continues. It builds no SQL.
package query

import (
	"slices"

	"github.com/clusterlite/clusterlite/events/collections"
)

// A Kind is the type of a column's values.
type Kind int

// The kinds, and the Go types of their values.
const (
	Text    Kind = iota // string
	Integer             // int64, or beyond its range float64 or json.Number
	Number              // float64 or json.Number
	Boolean             // bool
	Time                // string in events.TimeFormat
)

// A Column is something that lists can be filtered and sorted by. Only [Columns], [IDColumn] and
// [ModelColumn] make columns, from declarations, so no name from a request reaches SQL.
type Column struct {
	name     string
	kind     Kind
	nullable bool
	indexed  bool
	format   string
	noCase   bool
	folded   bool // the column holds folded values: see Folded
}

// Name is the name of the member in the column.
func (c Column) Name() string { return c.name }

// Kind is the type of the values.
func (c Column) Kind() Kind { return c.kind }

// Indexed reports whether filters and sorts by the column are fast.
func (c Column) Indexed() bool { return c.indexed }

// Nullable reports whether an entity may lack the member, or have null in its place.
func (c Column) Nullable() bool { return c.nullable }

// Format is the format of the member in the schema, such as date-time, or empty.
func (c Column) Format() string { return c.format }

// IgnoresCase reports whether filters on the column ignore case.
func (c Column) IgnoresCase() bool { return c.noCase }

// Folded returns the column that holds this column's values with their case folded, where that
// changes them.
func (c Column) Folded() Column {
	c.folded = true
	return c
}

// IsFolded reports whether the column was returned by [Column.Folded].
func (c Column) IsFolded() bool { return c.folded }

// ModelColumn returns a column of a table or view that a read model in SQL declares.
func ModelColumn(name string, kind Kind, nullable bool) Column {
	return Column{name: name, kind: kind, nullable: nullable}
}

// IDColumn returns the column that holds the ids of entities.
func IDColumn() Column { return Column{name: "id", kind: Text, indexed: true} }

var kinds = map[string]Kind{"string": Text, "integer": Integer, "number": Number, "boolean": Boolean}

// Columns returns the columns of a declared collection: four of the server's, and one for each
// scalar property.
func Columns(c *collections.Collection) []Column {
	columns := []Column{IDColumn(), {name: "version", kind: Integer}, {name: "created_at", kind: Time}, {name: "updated_at", kind: Time}}
	for _, p := range c.Properties() {
		// A required property may be missing too, if an older schema did not require it.
		columns = append(columns, Column{
			name: p.Name, kind: kinds[p.Type], nullable: true, indexed: p.Index || p.Unique, format: p.Format, noCase: p.NoCase,
		})
	}
	return columns
}

// An Op compares a column with a value.
type Op int

// The operators. A null member counts as missing. An entity that lacks the member matches
// NotEqual, and Present with false, and no other operator.
//
// If a unique member ignores case, Equal, NotEqual, Prefix and In ignore case too: they compare
// as uniqueness does. The other operators compare bytes, in the order in which texts are
// sorted.
const (
	Equal Op = iota
	NotEqual
	Greater
	GreaterOrEqual
	Less
	LessOrEqual
	Prefix  // for Text only
	In      // any of the values
	Present // the value is true, or false for entities that lack the member
)

// Holds reports whether a value meets the operator, by how it compares with the value of the filter:
// less than 0, 0, or more than 0 as [cmp.Compare] has it. In is met by an equal value; the other
// operators that do not compare are never met.
func (o Op) Holds(compared int) bool {
	switch o {
	case Equal, In:
		return compared == 0
	case NotEqual:
		return compared != 0
	case Greater:
		return compared > 0
	case GreaterOrEqual:
		return compared >= 0
	case Less:
		return compared < 0
	case LessOrEqual:
		return compared <= 0
	default:
		return false
	}
}

// A Filter is a condition that entities must meet.
type Filter struct {
	Column Column
	Op     Op
	// Values holds one value of the column's kind; for In any number of them, and for Present a
	// bool.
	Values []any
	// Exact compares texts by their bytes, even if the column ignores case.
	Exact bool
}

// Nulls says where a sort places entities that lack the member.
type Nulls int

// The positions of entities that lack the member.
const (
	NullsAsLowest Nulls = iota // first in ascending order, and last in descending order
	NullsFirst
	NullsLast
)

// A SortKey is a column to sort by. Texts sort by their UTF-8 bytes.
type SortKey struct {
	Column     Column
	Descending bool
	Nulls      Nulls
}

// NullsAtEnd reports whether entities that lack the member come last.
func (k SortKey) NullsAtEnd() bool {
	return k.Nulls == NullsLast || k.Nulls == NullsAsLowest && k.Descending
}

// A Query selects entities of a collection.
type Query struct {
	Filters []Filter
	// Condition is what the entities must meet besides the filters. Nil means nothing.
	Condition Condition
	// Sort lists the most significant key first. Entities that are equal in all keys are sorted
	// by id, in the direction of the last key.
	Sort []SortKey
	// After is the cursor after which the answer begins. Nil selects the first page.
	After *Cursor
	// Limit is the maximum number of entities. Zero means no limit.
	Limit int
}

// A Cursor is the position of an entity in a list.
type Cursor struct {
	// Keys are the entity's values in the columns of the sort: string, int64, float64 or nil.
	Keys []any
	ID   string
}

// Keys returns the complete sort order, which ends with the id.
func (q Query) Keys() []SortKey {
	for i, k := range q.Sort {
		if k.Column == IDColumn() {
			return q.Sort[:i+1] // ids are unique, so later keys have no effect
		}
	}
	last := SortKey{Column: IDColumn()}
	if n := len(q.Sort); n > 0 {
		last.Descending = q.Sort[n-1].Descending
	}
	return append(slices.Clone(q.Sort), last)
}
