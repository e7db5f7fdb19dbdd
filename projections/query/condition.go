package query

// A Condition restricts a query beyond its filters: it is what is left of a collection's access
// rule once the caller is known. A condition is either met or not. In particular, a member that
// an entity lacks, or that is not of its column's kind, meets no condition but [Has], not even a
// negated one. Texts are compared by their bytes, even if the member ignores case.
//
// A condition is one of the types of this package that follow.
type Condition interface{ condition() }

// All is met if all of its conditions are. Without any, it is met by every entity.
type All []Condition

// AnyOf is met if any of its conditions is. Without any, no entity meets it.
type AnyOf []Condition

// A Match compares a column with values. The operator must not be [NotEqual]; with [Present], the
// value must be true.
type Match struct {
	Filter Filter
	// Not inverts the comparison.
	Not bool
}

// A Comparison compares two columns of one kind, with any operator up to [LessOrEqual].
type Comparison struct {
	Left, Right Column
	Op          Op
}

// Holds is met if the member is an array with the text as an item, or with Not if the member is
// an array without it.
type Holds struct {
	// Member is the name of a declared member that consists of letters, digits and underscores.
	Member string
	Text   string
	Not    bool
}

// IsArray is met if the member is an array.
type IsArray struct{ Member string }

// Has is met if the member is neither missing nor null, or with Not if it is one of these.
type Has struct {
	// Member is as in [Holds].
	Member string
	Not    bool
}

func (All) condition()        {}
func (AnyOf) condition()      {}
func (Match) condition()      {}
func (Comparison) condition() {}
func (Holds) condition()      {}
func (IsArray) condition()    {}
func (Has) condition()        {}

// ServerColumn reports whether the server sets the column, so that every entity has it.
func (c Column) ServerColumn() bool { return !c.nullable }
