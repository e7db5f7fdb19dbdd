// Package listing defines what clients can ask of a list: its query parameters, filters, sort
// keys and cursors. It parses a query string into a [Request], which the projection answers,
// and describes the parameters for OpenAPI. The table of parameters is in parameters.go.
//
// Package queryapi parses requests with it, and queryapi/openapi describes them.
package listing

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const (
	// DefaultLimit is the size of a page if the client does not give a limit.
	DefaultLimit = 100
	maxLimit     = 10_000
	// maxFilters and maxSortKeys bound the work for one list, and the length of its SQL.
	maxFilters  = 16
	maxSortKeys = 8
	// maxIn is the maximum number of values of one in.
	maxIn = 1000
)

// A Vocabulary is what the lists of one collection understand. It is immutable.
type Vocabulary struct {
	// Parameters are the names of all query parameters, those of filters included.
	Parameters []string
	// Definition is a short text that changes with the collection's schema.
	Definition string

	// rows reports that the list has rows of a model, and not entities: see [ForRows].
	rows       bool
	collection string
	columns    map[string]query.Column
	// filters are the parameters that filter, by their full name.
	filters map[string]query.Filter
	// members are all declared members that an entity can have. open reports whether an entity may
	// have others.
	members []string
	open    bool
}

// New returns the vocabulary of a collection.
func New(c *collections.Collection) *Vocabulary {
	v := &Vocabulary{
		collection: c.Name(), Definition: definitionOf(c),
		columns: map[string]query.Column{}, filters: map[string]query.Filter{},
		Parameters: names(),
	}
	for _, column := range query.Columns(c) {
		v.columns[column.Name()] = column
		for _, o := range Operators(column.Kind()) {
			if o.Op == query.Present && !column.Nullable() {
				continue
			}
			v.addFilter(FilterName(column.Name(), o), column, o.Op)
		}
	}
	v.members, v.open = c.Members()
	v.members = append([]string{"id", "version", "created_at", "updated_at"}, v.members...)
	return v
}

// definitionOf returns a short text that changes with the collection's schema, and therefore
// with what its lists understand and return.
func definitionOf(c *collections.Collection) string {
	sum := sha256.Sum256(c.Schema())
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func (v *Vocabulary) addFilter(name string, column query.Column, op query.Op) {
	if IsParameter(name) || name == At && !v.rows {
		return // it would hide the parameter; a member called limit is filtered by limit[in]
	}
	v.filters[name] = query.Filter{Column: column, Op: op}
	v.Parameters = append(v.Parameters, name)
}

// A Request is what a client asks of a list.
type Request struct {
	query.Query
	// Fields are the members to return; empty means all.
	Fields []string
	// Count asks for the header field Total-Count.
	Count bool
}

// Parse reads a query string that contains only names in Parameters, each once. A limit of
// zero means that the client gave none. The error is a problem.
func (v *Vocabulary) Parse(values url.Values) (r Request, err error) {
	var last []Parameter
	for _, name := range sortedNames(values) {
		p, ok := find(name)
		switch {
		case !ok:
			err = v.parseFilter(&r.Query, name, values.Get(name))
		case p.AfterOthers:
			last = append(last, p)
		default:
			r, err = p.Parse(v, r, values.Get(name))
		}
		if err != nil {
			return r, err
		}
	}
	for _, p := range last {
		if r, err = p.Parse(v, r, values.Get(p.Name)); err != nil {
			return r, err
		}
	}
	return r, nil
}

// FilterNames returns the names of the parameters that filter, except some.
func (v *Vocabulary) FilterNames(except []string) (names []string) {
	for _, name := range v.Parameters {
		if !IsParameter(name) && !slices.Contains(except, name) {
			names = append(names, name)
		}
	}
	return names
}

// ParseFilters reads the filters of a query string, in which all names that are not excepted are
// [Vocabulary.FilterNames]. The error is a problem.
func (v *Vocabulary) ParseFilters(values url.Values, except []string) ([]query.Filter, error) {
	var q query.Query
	for _, name := range sortedNames(values) {
		if slices.Contains(except, name) {
			continue
		}
		if err := v.parseFilter(&q, name, values.Get(name)); err != nil {
			return nil, err
		}
	}
	return q.Filters, nil
}

// sortedNames returns the names in order, so that equal filters in any order lead to the same
// SQL text.
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
	return contract.Integer("limit", value, 1, maxLimit)
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

func (v *Vocabulary) parseSort(value string) ([]query.SortKey, error) {
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

// nulls are the words that place entities that lack the member of a sort.
var nulls = map[string]query.Nulls{"nullsfirst": query.NullsFirst, "nullslast": query.NullsLast}

// parseSortKey reads a key such as -due.nullslast.
func (v *Vocabulary) parseSortKey(text string) (key query.SortKey, err error) {
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
		key.Nulls = query.NullsAsLowest // every entity has the member
	}
	return key, nil
}

func (v *Vocabulary) columnNames() []string {
	names := make([]string, 0, len(v.columns))
	for name := range v.columns {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (v *Vocabulary) parseFields(value string) ([]string, error) {
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

func (v *Vocabulary) parseFilter(q *query.Query, name, value string) error {
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

// splitIn splits a value at commas. A backslash quotes the next character.
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
