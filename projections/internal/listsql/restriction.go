package listsql

import (
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/projections/query"
)

// where returns the condition that a query's filters and its condition form.
func where(q query.Query) Statement {
	s := conditions(q.Filters)
	if q.Condition == nil {
		return s
	}
	c := restriction(q.Condition)
	return Statement{join(" AND ", s.Text, "("+c.Text+")"), append(s.Args, c.Args...)}
}

// certain returns filters that all entities of the query match: its own, and those in its
// condition.
func certain(q query.Query) []query.Filter {
	filters := make([]query.Filter, 0, len(q.Filters)+1)
	for _, f := range q.Filters {
		filters = append(filters, Comparand(f))
	}
	parts, ok := q.Condition.(query.All)
	if !ok {
		parts = query.All{q.Condition}
	}
	for _, part := range parts {
		if m, ok := part.(query.Match); ok && !m.Not {
			filters = append(filters, exact(m.Filter))
		}
	}
	return filters
}

func exact(f query.Filter) query.Filter {
	f.Exact = true
	return f
}

// restriction turns a condition into SQL that is true for the entities that meet it, and false or
// NULL for others. It negates only single comparisons, whose operands are known not to be NULL.
func restriction(c query.Condition) Statement {
	switch c := c.(type) {
	case query.All:
		return combine(c, " AND ", "TRUE")
	case query.AnyOf:
		return combine(c, " OR ", "FALSE")
	case query.Match:
		return match(c)
	case query.Comparison:
		text := ColumnName(c.Left) + " " + operators[c.Op] + " " + ColumnName(c.Right)
		return Statement{Text: join(" AND ", text, ofKind(c.Left), ofKind(c.Right))}
	case query.Holds:
		item := "EXISTS (SELECT 1 FROM json_each(doc, " + path(c.Member) + ") AS item WHERE item.type = 'text' AND item.value = ?)"
		if c.Not {
			item = "NOT " + item
		}
		return Statement{"json_type(doc, " + path(c.Member) + ") = 'array' AND " + item, []any{c.Text}}
	case query.IsArray:
		return Statement{Text: "json_type(doc, " + path(c.Member) + ") = 'array'"}
	case query.Has:
		return Statement{Text: "coalesce(json_type(doc, " + path(c.Member) + "), 'null') " + map[bool]string{false: "<>", true: "="}[c.Not] + " 'null'"}
	}
	return Statement{Text: "FALSE"} // for an unknown condition, nothing is safe to show
}

// match turns a comparison with values into SQL.
func match(c query.Match) Statement {
	f := exact(c.Filter)
	if f.Column.Kind() == query.Boolean && f.Op == query.Equal && !f.Column.Indexed() {
		// The literals true and false have only one spelling.
		return Statement{Text: "doc -> " + path(f.Column.Name()) + " = '" + strconv.FormatBool(f.Values[0] == true != c.Not) + "'"}
	}
	s := Condition(f)
	if c.Not {
		s.Text = "NOT (" + s.Text + ")"
	} else if f.Column.Kind() == query.Text && onlyTexts(f) {
		return s
	}
	s.Text = join(" AND ", s.Text, ofKind(f.Column))
	return s
}

// onlyTexts reports whether a filter on a column of texts can only match texts: no number, truth
// value, object or array becomes one of its values when SQLite computes the column.
func onlyTexts(f query.Filter) bool {
	if f.Op != query.Equal && f.Op != query.In && f.Op != query.Prefix {
		return false
	}
	for _, v := range f.Values {
		text, ok := v.(string)
		if !ok || text == "" || text[0] == '{' || text[0] == '[' || strings.Trim(text, "0123456789.+-eEInf") == "" {
			return false
		}
	}
	return true
}

// operators are those of comparisons between two columns that are not NULL.
var operators = map[query.Op]string{query.Equal: "=", query.NotEqual: "<>", query.Greater: ">", query.GreaterOrEqual: ">=", query.Less: "<", query.LessOrEqual: "<="}

func combine(parts []query.Condition, operator, none string) Statement {
	texts := make([]string, len(parts))
	var args []any
	for i, part := range parts {
		s := restriction(part)
		texts[i] = "(" + s.Text + ")"
		args = append(args, s.Args...)
	}
	if len(texts) == 0 {
		return Statement{Text: none}
	}
	return Statement{strings.Join(texts, operator), args}
}

// path returns the path of a member, as a literal. The name consists of letters, digits and
// underscores.
func path(member string) string { return `'$."` + member + `"'` }

// ofKind returns the condition that the member is of its column's kind. Other values, which an
// earlier schema may have allowed, are converted when SQLite computes the column: the text "5"
// becomes the integer 5.
func ofKind(c query.Column) string {
	if c.ServerColumn() {
		return ""
	}
	kind := "json_type(doc, " + path(c.Name()) + ")"
	switch c.Kind() {
	case query.Integer:
		// 5.0 is an integer by JSON Schema. SQLite converts it through a float, which is exact below
		// 2^53. An integer of more than 64 bits is a float in the column.
		return "(" + kind + " = 'integer' OR " + kind + " = 'real' AND abs(" + ColumnName(c) + ") < 9007199254740992) AND typeof(" + ColumnName(c) + ") = 'integer'"
	case query.Boolean:
		return kind + " IN ('true', 'false')"
	default:
		return kind + " = 'text'"
	}
}
