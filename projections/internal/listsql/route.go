package listsql

import (
	"context"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
)

// Narrow is how many entities a filter may let through for a search by it: so many are
// sorted in a few milliseconds. Where there are more, a page is soon found by walking the
// list in its order.
const Narrow = 5000

// route chooses the way to the entities of a list. SQLite by itself would often rather
// walk the whole table in the order of the list than search by a filter and sort, since
// it does not know how few the filter lets through. So they are counted, as far as
// matters.
func ChooseRoute(ctx context.Context, conn sqlx.QueryerContext, collection string, q query.Query) (Route, error) {
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

// spans gives the filters on indexed columns, by column. It is empty where one index
// serves filter and order: the list is in the order of a column that is bounded, or in
// that of ids and a column has one value.
func spans(q query.Query) [][]query.Filter {
	var columns []query.Column
	first := q.Keys()[0].Column
	filters := make([]query.Filter, len(q.Filters))
	for i, f := range q.Filters {
		filters[i] = Comparand(f)
	}
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
