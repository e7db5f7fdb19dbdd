package openapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/queryapi/modelrows"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// tagOfModels is the tag of the reads of models. No collection can have this name.
const tagOfModels = "models"

// forbiddenModel is the response to a caller who may not read a model.
const forbiddenModel = "forbiddenModel"

// Models adds the tables, views and queries of read models in SQL to a description. The models are
// sorted by name.
func Models(models []*sqlmodel.Definition) Option {
	return func(b builder, doc *openapi3.T) {
		if len(models) == 0 {
			return
		}
		doc.Tags = append(doc.Tags, &openapi3.Tag{Name: tagOfModels, Description: "The read models in SQL."})
		if b.secured {
			doc.Components.Responses[problemResponse(forbiddenModel)] = &openapi3.ResponseRef{
				Value: b.problemResponse("The caller may not read this read model.", problem.Forbidden),
			}
		}
		operations := names{}
		for _, d := range models {
			for _, name := range modelrows.Names(d) {
				rows, _ := modelrows.Find(d, name)
				schema := b.taken.claim(d.Name + "_" + name + "_row")
				doc.Components.Schemas[schema] = rowSchema(schema, rows.Columns())
				get := b.rowsOperation(operations.claim("read_"+d.Name+"_"+name), schema, d, rows)
				doc.Paths.Set("/models/"+d.Name+"/"+name, &openapi3.PathItem{Get: get})
			}
		}
	}
}

// rowsOperation describes the read of a table, a view or a query.
func (b builder) rowsOperation(id, schema string, d *sqlmodel.Definition, rows *modelrows.Rows) *openapi3.Operation {
	array := openapi3.NewArraySchema()
	array.Items = schemaRef(schema)
	fields := slices.Concat(readHeaders, []string{"ETag"})
	o := operation{
		id: id, tag: tagOfModels, summary: fmt.Sprintf("Read %s of the read model %s", rows.Name(), d.Name),
		status: http.StatusOK, problems: []string{"notFound", "notAcceptable"},
	}
	text := "all rows that match"
	if rows.IsQuery() {
		o.description = "Runs a named query and returns its rows."
		o.parameters = slices.Concat([]string{"fields"}, readAsks)
		o.success = response("The rows.", jsonContent(array.NewRef(), nil), fields...)
		text = "the rows"
	} else {
		o.description = "Returns one page of the rows that match all filters. The `Link` field leads to the next page."
		o.parameters = slices.Concat(sharedListParameters(), readAsks)
		o.success = response("A page of rows.", jsonContent(array.NewRef(), nil), append(fields, "Link", "Total-Count")...)
	}
	if d.Description != "" {
		o.description += "\n\nThe read model: " + strings.ReplaceAll(d.Description, "\n", " ")
	}
	get := o.build()
	get.Parameters = append(rowsParameters(rows), get.Parameters...)
	get.Responses.Set("304", notModified())
	if b.secured {
		get.Responses.Set("403", &openapi3.ResponseRef{Ref: "#/components/responses/" + problemResponse(forbiddenModel)})
	}
	get.Description += "\n\nWith `Accept: " + contract.EventStream + "` the response is a stream of server-sent events: `data` has the rows at the beginning and again whenever they have changed, and `control` the position that they reflect."
	get.Extensions = map[string]any{linesKeyword: lines{
		Description: "With `Accept: " + contract.NDJSON + "` the response streams " + text + ", one per line.",
		Response:    &lineSchema{http.StatusOK, schemaRef(schema)},
	}}
	return get
}

// rowsParameters are the parameters that depend on the columns, or those that a query declares.
func rowsParameters(rows *modelrows.Rows) (all openapi3.Parameters) {
	if rows.IsQuery() {
		for _, p := range rows.Arguments() {
			all = append(all, queryArgument(p))
		}
		return append(all, queryParameter("limit", "The maximum number of rows.", openapi3.NewIntegerSchema().WithMin(1).WithMax(modelrows.MaxRows).WithDefault(modelrows.MaxRows)))
	}
	columns := rows.QueryColumns()
	sort := listed(openapi3.NewQueryParameter("sort").WithDescription("The columns to sort by, separated by commas. A `-` before the name sorts in descending order. NULL comes first in ascending order and last in descending order; `.nullslast` or `.nullsfirst` after the name overrides that."))
	sort.Schema = listing.SortSchema(columns).NewRef()
	all = openapi3.Parameters{&openapi3.ParameterRef{Value: sort}}
	for _, column := range columns {
		for _, operator := range documented(column, "") {
			if !listing.IsParameter(listing.FilterName(column.Name(), operator)) { // it has another meaning
				all = append(all, &openapi3.ParameterRef{Value: filterOf("rows", column, operator)})
			}
		}
	}
	return all
}

// queryArgument describes a parameter of a named query.
func queryArgument(p sqlmodel.Parameter) *openapi3.ParameterRef {
	schema := openapi3.NewStringSchema()
	switch p.Kind {
	case sqlmodel.Integer:
		schema = openapi3.NewIntegerSchema()
	case sqlmodel.Number:
		schema = openapi3.NewFloat64Schema().WithFormat("double")
	case sqlmodel.Boolean:
		schema = openapi3.NewBoolSchema()
	case sqlmodel.Time:
		schema = openapi3.NewDateTimeSchema()
	}
	described := openapi3.NewQueryParameter(p.Name).WithSchema(schema).WithRequired(p.Required)
	described.Description = "A parameter of the query."
	if !p.Required {
		described.Description = fmt.Sprintf("A parameter of the query. The default is `%s`.", p.Default)
		if p.Default == "" {
			described.Description = "A parameter of the query. The default is an empty text."
		}
	}
	return &openapi3.ParameterRef{Value: described}
}

// rowSchema describes the rows of a table, view or query. SQLite does not know the type of a column
// that is an expression, and a column may hold NULL unless its declaration says otherwise.
func rowSchema(title string, columns []sqlmodel.Column) *openapi3.SchemaRef {
	row := openapi3.NewObjectSchema()
	for _, column := range columns {
		schema := openapi3.NewSchema()
		switch column.Kind {
		case sqlmodel.Integer:
			schema = openapi3.NewIntegerSchema()
		case sqlmodel.Number:
			schema = openapi3.NewFloat64Schema()
		case sqlmodel.Boolean:
			schema = openapi3.NewBoolSchema()
		case sqlmodel.Text, sqlmodel.Time:
			schema = openapi3.NewStringSchema()
		}
		if column.Nullable && schema.Type != nil {
			types := append(slices.Clone(*schema.Type), "null")
			schema.Type = &types
		}
		row.WithProperty(column.Name, schema)
		row.Required = append(row.Required, column.Name)
	}
	row.Title, row.Description = title, "A row. With `fields`, rows have only those columns."
	return row.NewRef()
}
