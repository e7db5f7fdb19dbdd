// Package modelrows serves the rows of one read model in SQL: what a request can ask of its tables, views
// and queries, and the rows as JSON. Package queryapi handles requests with it, and queryapi/openapi describes
// them.
package modelrows

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/clusterlite/clusterlite/projections/modelquery"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Rows are those of a table, view or query. Immutable.
type Rows struct {
	hash     string
	words    *listing.Vocabulary // of a table or view, or what a query has of it
	relation *sqlmodel.Relation
	query    *sqlmodel.Query
	columns  []sqlmodel.Column
}

// A Request is what a client asks.
type Request struct {
	listing.Request
	// arguments are the values of the parameters of a query.
	arguments map[string]any
}

// Find returns the rows of a table, view or query of a model.
func Find(d *sqlmodel.Definition, name string) (*Rows, bool) {
	for i := range d.Relations {
		if r := &d.Relations[i]; r.Name == name {
			words := listing.ForRows("models/"+d.Name+"/"+name, d.Hash[:12], modelquery.Columns(*r))
			return &Rows{hash: d.Hash, words: words, relation: r, columns: r.Columns}, true
		}
	}
	for i := range d.Queries {
		if q := &d.Queries[i]; q.Name == name {
			of := sqlmodel.Relation{Columns: q.Columns}
			words := listing.ForRows("models/"+d.Name+"/"+name, d.Hash[:12], modelquery.Columns(of))
			return &Rows{hash: d.Hash, words: words, query: q, columns: q.Columns}, true
		}
	}
	return nil, false
}

// Names are the names of all tables, views and queries of a model.
func Names(d *sqlmodel.Definition) (names []string) {
	for _, r := range d.Relations {
		names = append(names, r.Name)
	}
	for _, q := range d.Queries {
		names = append(names, q.Name)
	}
	return names
}

// Hash is that of the model's definition.
func (r *Rows) Hash() string { return r.hash }

// Name is the name of the table, view or query.
func (r *Rows) Name() string {
	if r.query != nil {
		return r.query.Name
	}
	return r.relation.Name
}

// queryParameters are the parameters of lists that a query has too. The query itself decides about
// filters and order.
var queryParameters = []string{"limit", "fields"}

// Parameters are the names of the query parameters of a request.
func (r *Rows) Parameters() []string {
	if r.query == nil {
		return r.words.Parameters
	}
	names := slices.Clone(queryParameters)
	for _, p := range r.query.Parameters {
		names = append(names, p.Name)
	}
	return names
}

// Parse reads a query string that contains only names in Parameters, each once. The error is a
// problem.
func (r *Rows) Parse(values url.Values) (Request, error) {
	if r.query == nil {
		asked, err := r.words.Parse(values)
		return Request{Request: asked}, err
	}
	common := url.Values{}
	for _, name := range queryParameters {
		if values.Has(name) {
			common[name] = values[name]
		}
	}
	asked := Request{arguments: map[string]any{}}
	var err error
	if asked.Request, err = r.words.Parse(common); err != nil {
		return asked, err
	}
	for _, p := range r.query.Parameters {
		text := p.Default
		switch {
		case values.Has(p.Name):
			text = values.Get(p.Name)
		case p.Required:
			return asked, problem.MalformedRequest.New(fmt.Sprintf("The query needs the parameter %s.", p.Name))
		}
		if asked.arguments[p.Name], err = p.Parse(text); err != nil {
			return asked, problem.MalformedRequest.New(fmt.Sprintf("%s must be %s.", p.Name, err))
		}
	}
	return asked, nil
}

// MaxRows is the maximum number of rows of a query, which has no pages.
const MaxRows = 10_000

// Read passes the rows that match to each, as JSON. The bytes are valid until each returns. next is
// the cursor for the next page, or empty.
func (r *Rows) Read(ctx context.Context, tx *sqlmodel.Tx, asked Request, each func(row []byte) error) (next string, err error) {
	var line []byte
	members := r.members(asked.Fields)
	add := func(row []any) error {
		line = appendRow(line[:0], members, row)
		return each(line)
	}
	if r.query != nil {
		limit := asked.Limit
		if limit == 0 {
			limit = MaxRows
		}
		return "", badArguments(modelquery.Run(ctx, tx, *r.query, asked.arguments, limit, add))
	}
	place, err := modelquery.List(ctx, tx, *r.relation, asked.Query, add)
	if err != nil || place == nil {
		return "", err
	}
	return r.words.EncodeRowCursor(asked.Sort, place.Keys, place.Equal), nil
}

// Count returns the number of rows that match.
func (r *Rows) Count(ctx context.Context, tx *sqlmodel.Tx, asked Request) (int64, error) {
	return modelquery.Count(ctx, tx, *r.relation, asked.Query)
}

// badArguments turns the error of a query into a problem if its arguments are the reason. The
// statement itself was checked when the model was loaded.
func badArguments(err error) error {
	if reason, rejected := sqlmodel.Rejection(err); rejected {
		return problem.MalformedRequest.Because(err, fmt.Sprintf("The query can't be run with these parameters: %s.", contract.Quote(reason)))
	}
	return err
}

// Columns are the columns of the rows.
func (r *Rows) Columns() []sqlmodel.Column { return r.columns }

// IsQuery reports whether the rows are those of a named query.
func (r *Rows) IsQuery() bool { return r.query != nil }

// Arguments are the parameters that a named query declares.
func (r *Rows) Arguments() []sqlmodel.Parameter {
	if r.query == nil {
		return nil
	}
	return r.query.Parameters
}

// QueryColumns are the columns by which the list can be filtered and sorted.
func (r *Rows) QueryColumns() []query.Column {
	if r.query != nil {
		return nil
	}
	return modelquery.Columns(*r.relation)
}
