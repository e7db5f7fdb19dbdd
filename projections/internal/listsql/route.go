package listsql

import (
	"context"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
)

// Narrow is the maximum number of entities that a filter may select for a search by that
// filter. So many are sorted in a few milliseconds. If a filter selects more, walking the list
// in its order soon finds a page.
const Narrow = 5000

// ChooseRoute chooses how to find the entities of a list. SQLite alone would often walk the
// whole table in the order of the list instead of searching by a filter and sorting, because it
// does not know how few entities the filter selects. So ChooseRoute counts them, up to the
// limit that matters. It assumes that a unique value selects few.
func ChooseRoute(ctx context.Context, conn sqlx.QueryerContext, collection string, q query.Query) (Route, error) {
	for _, f := range q.Filters {
		if f = Comparand(f); f.Op == query.Equal && f.Column.IsFolded() {
			return ByFilter, nil
		}
	}
	for _, filters := range spans(q) {
		var n int
		in := conditions(filters)
		text := `SELECT count(*) FROM (SELECT 1 FROM ` + schema.Quote(collection) + ` WHERE ` + in.Text + ` LIMIT ?)`
		if err := sqlx.GetContext(ctx, conn, &n, text, append(in.Args, Narrow+1)...); err != nil {
			return InOrder, err
		}
		if n <= Narrow {
			return ByFilter, nil
		}
	}
	return InOrder, nil
}

// spans groups the filters on indexed columns by column. It returns nothing if one index serves
// both filter and order: the list is in the order of a bounded column, or in that of ids while
// a column has a single value.
func spans(q query.Query) [][]query.Filter {
	var columns []query.Column
	first := q.Keys()[0].Column
	filters := certain(q)
	for _, f := range filters {
		switch {
		case f.Op == query.NotEqual || !f.Column.Indexed():
			continue
		case f.Column == first, f.Op == query.Equal && first == query.IDColumn():
			return nil
		case !slices.Contains(columns, f.Column):
			columns = append(columns, f.Column)
		}
	}
	spans := make([][]query.Filter, len(columns))
	for i, c := range columns {
		for _, f := range filters {
			if f.Column == c && f.Op != query.NotEqual {
				spans[i] = append(spans[i], f)
			}
		}
	}
	return spans
}
