package queryapi

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const (
	defaultLimit = 100
	maxLimit     = 10_000
	// maxFilters and maxSortKeys limit the work of a list, and the SQL for it.
	maxFilters  = 16
	maxSortKeys = 8
	// maxIn is the maximum number of values of an in filter.
	maxIn = 1000
)

// A vocabulary is what clients can ask of the lists of one collection. It is created once and
// immutable.
type vocabulary struct {
	collection string
	// definition identifies the definition of the collection.
	definition string
	columns    map[string]query.Column
	// filters are the filters, by the full name of their parameter.
	filters map[string]query.Filter
	// parameters are the names of all parameters. members are the names of all members that an
	// entity can have, as far as they are declared.
	parameters, members []string
	open                bool // entities can have other members too
}

func newVocabulary(c *collections.Collection) *vocabulary {
	v := &vocabulary{
		collection: c.Name(), definition: definitionOf(c),
		columns: map[string]query.Column{}, filters: map[string]query.Filter{},
		parameters: slices.Clone(contract.ListParameters),
	}
	for _, column := range query.Columns(c) {
		v.columns[column.Name()] = column
		for _, o := range contract.Operators(column.Kind()) {
			if o.Op == query.Present && !column.Nullable() {
				continue
			}
			v.addFilter(contract.FilterName(column.Name(), o), column, o.Op)
		}
	}
	v.members, v.open = c.Members()
	v.members = append([]string{"id", "version", "created_at", "updated_at"}, v.members...)
	return v
}

// definitionOf returns a short text that changes with the schema of the collection, and so with
// the responses of its lists.
func definitionOf(c *collections.Collection) string {
	sum := sha256.Sum256(c.Schema())
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func (v *vocabulary) addFilter(name string, column query.Column, op query.Op) {
	if slices.Contains(contract.ListParameters, name) {
		return // it would hide a parameter of lists; filter a member called limit by limit[in]
	}
	v.filters[name] = query.Filter{Column: column, Op: op}
	v.parameters = append(v.parameters, name)
}

// A listRequest is the request for a list.
type listRequest struct {
	query.Query
	// Fields are the members to return. Empty means all.
	Fields []string
	// Count asks for the header field Total-Count.
	Count bool
}

// parse parses the query string. [contract.RefuseUnknownParameters] has already checked the names
// of the parameters. A limit of zero means that none was given. The error is a problem.
func (v *vocabulary) parse(values url.Values) (r listRequest, err error) {
	for _, name := range sortedNames(values) {
		value := values.Get(name)
		switch name {
		case "limit":
			r.Limit, err = parseLimit(value)
		case "sort":
			r.Sort, err = v.parseSort(value)
		case "fields":
			r.Fields, err = v.parseFields(value)
		case "count":
			r.Count, err = parseBool("count", value)
		case "after":
		default:
			err = v.parseFilter(&r.Query, name, value)
		}
		if err != nil {
			return r, err
		}
	}
	if values.Has("after") { // the cursor depends on the sort
		r.After, err = decodeCursor(values.Get("after"), v.collection, r.Sort)
	}
	return r, err
}

// sortedNames sorts the parameters, so that the same filters in any order give the same SQL.
func sortedNames(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func malformed(format string, args ...any) error {
	return problem.MalformedRequest.New(fmt.Sprintf(format, args...))
}

func parseLimit(value string) (int, error) {
	limit, err := strconv.Atoi(value)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, malformed("limit must be an integer from 1 to %d.", maxLimit)
	}
	return limit, nil
}

func parseBool(name, value string) (bool, error) {
	switch value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, malformed("%s must be true or false.", name)
}

func (v *vocabulary) parseSort(value string) ([]query.SortKey, error) {
	parts := strings.Split(value, ",")
	if len(parts) > maxSortKeys {
		return nil, malformed("sort must have at most %d keys.", maxSortKeys)
	}
	var keys []query.SortKey
	for _, part := range parts {
		key, err := v.parseSortKey(part)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(keys, func(k query.SortKey) bool { return k.Column == key.Column }) {
			return nil, malformed("sort contains %s more than once.", key.Column.Name())
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// nulls are the suffixes that say where a sort puts entities that lack the member.
var nulls = map[string]query.Nulls{"nullsfirst": query.NullsFirst, "nullslast": query.NullsLast}

// parseSortKey parses a key such as -due.nullslast.
func (v *vocabulary) parseSortKey(text string) (key query.SortKey, err error) {
	name, descending := strings.CutPrefix(text, "-")
	key.Descending = descending
	name, word, placed := strings.Cut(name, ".")
	var ok bool
	if key.Column, ok = v.columns[name]; !ok {
		return key, malformed("sort: unknown member %s.%s", contract.Quote(name), contract.Nearest(name, v.columnNames()))
	}
	if !placed {
		return key, nil
	}
	if key.Nulls, ok = nulls[word]; !ok {
		return key, malformed("sort: %s. must be followed by nullsfirst or nullslast, not %s.", name, contract.Quote(word))
	}
	if !key.Column.Nullable() {
		key.Nulls = query.NullsAsLeast // no entity lacks it
	}
	return key, nil
}

func (v *vocabulary) columnNames() []string {
	names := make([]string, 0, len(v.columns))
	for name := range v.columns {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (v *vocabulary) parseFields(value string) ([]string, error) {
	fields := strings.Split(value, ",")
	for i, name := range fields {
		if name == "" || !v.open && !slices.Contains(v.members, name) {
			return nil, malformed("fields: unknown member %s.%s", contract.Quote(name), contract.Nearest(name, v.members))
		}
		if slices.Contains(fields[:i], name) {
			return nil, malformed("fields contains %s more than once.", contract.Quote(name))
		}
	}
	return fields, nil
}

func (v *vocabulary) parseFilter(q *query.Query, name, value string) error {
	if len(q.Filters) == maxFilters {
		return malformed("A list accepts at most %d filters.", maxFilters)
	}
	f := v.filters[name]
	texts := []string{value}
	if f.Op == query.In {
		if texts = splitIn(value); len(texts) > maxIn {
			return malformed("%s must have at most %d values.", name, maxIn)
		}
	}
	for _, text := range texts {
		parsed, err := parseValue(f, text)
		if err != nil {
			return malformed("%s must be %s.", name, err)
		}
		f.Values = append(f.Values, parsed)
	}
	q.Filters = append(q.Filters, f)
	return nil
}

// splitIn splits a value at commas. A backslash escapes the next character.
func splitIn(value string) []string {
	var parts []string
	var part strings.Builder
	escaped := false
	for i := range len(value) {
		switch c := value[i]; {
		case !escaped && c == '\\':
			escaped = true
			continue
		case !escaped && c == ',':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(c)
		}
		escaped = false
	}
	return append(parts, part.String())
}
