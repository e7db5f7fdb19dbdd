package openapi

import (
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

// parameters are those that operations share. Their names end in Parameter, because code
// generators turn them into types, next to those of the schemas.
func parameters() openapi3.ParametersMap {
	all := openapi3.ParametersMap{}
	add := func(p *openapi3.Parameter, name, description string, schema *openapi3.Schema) *openapi3.Parameter {
		p.Description, p.Schema = description, schema.NewRef()
		all[name+"Parameter"] = &openapi3.ParameterRef{Value: p}
		return p
	}
	text := openapi3.NewStringSchema
	consistency := func() *openapi3.Schema {
		return text().WithEnum(string(events.Strong), string(events.Linearizable), string(events.Eventual))
	}
	tags := func() *openapi3.Schema {
		return text().WithMinLength(1).WithPattern(`^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$`)
	}
	position := openapi3.NewIntegerSchema().WithMin(0)
	add(openapi3.NewPathParameter("id"), "id", "The entity's id, a UUID.", text())
	add(openapi3.NewQueryParameter("limit"), "limit", "The maximum number of entities on the page. The default is 100.", openapi3.NewIntegerSchema().WithMin(1).WithMax(10_000))
	add(openapi3.NewQueryParameter("after"), "after", "Where the page starts: the cursor from the `Link` field of the previous page. `sort` must be the same.", text())
	add(openapi3.NewQueryParameter("count"), "count", "If true, the response has `Total-Count`.", openapi3.NewBoolSchema())
	listed(add(openapi3.NewQueryParameter("fields"), "fields", "Return only these members of each entity, separated by commas. The returned entities lack all other members, even those that their schema requires.",
		openapi3.NewArraySchema().WithItems(text().WithMinLength(1)).WithMinItems(1)))
	add(openapi3.NewHeaderParameter(contract.HeaderConsistency), "consistency", "How fresh the response must be. The default is `strong`, or `eventual` while the broker is unreachable.", consistency())
	add(openapi3.NewHeaderParameter(contract.HeaderConsistency), "refusalConsistency", "How fresh the state must be on which an error (404, 409 or 412) is based.", consistency())
	add(openapi3.NewHeaderParameter(contract.HeaderMinPosition), "minPosition", "The read waits until the node has applied the log up to this position, for at most two seconds.", position)
	add(openapi3.NewHeaderParameter("If-Match"), "ifMatch", "The request is carried out only if the entity has this version, as in its `ETag`: `\"3\"`. Otherwise the response is 412. A weak tag never matches.", tags())
	add(openapi3.NewHeaderParameter("If-None-Match"), "ifNoneMatch", "The `ETag` that the client holds. The response is 304 if it is still current.", tags())
	add(openapi3.NewHeaderParameter("Idempotency-Key"), "idempotencyKey", "A key that the client chooses for this write, in visible ASCII. The server carries out a write with the same key once: for 24 hours, a retry gets the response of the first success.",
		text().WithMinLength(1).WithMaxLength(255).WithPattern(`^[!-~]+$`))
	for _, column := range serverColumns() {
		for _, operator := range documented(column, "") {
			all[serverFilter(column, operator)] = &openapi3.ParameterRef{Value: filter(column, operator)}
		}
	}
	return all
}

// listed returns a parameter whose values are one text, separated by commas.
func listed(p *openapi3.Parameter) *openapi3.Parameter {
	explode := false
	p.Style, p.Explode = openapi3.SerializationForm, &explode
	return p
}

// serverColumns are the columns that all collections have.
func serverColumns() []query.Column {
	return query.Columns(&collections.Collection{})
}

// serverFilter returns the name of the shared parameter of a filter by a member of the server.
func serverFilter(column query.Column, operator contract.Operator) string {
	name := strings.ReplaceAll(column.Name(), "_a", "A") // createdAt
	if operator.Word != "" {
		name += strings.ToUpper(operator.Word[:1]) + operator.Word[1:]
	}
	return name + "Filter"
}

// documented returns the operators that have a parameter of their own in the description: of all
// operators of a column, those that make sense for its content.
func documented(column query.Column, format string) []contract.Operator {
	var words []string
	switch {
	case column.Name() == "id":
		words = []string{"", "in"}
	case column.Name() == "version":
		words = []string{"", "gt", "lt"}
	case column.Kind() == query.Boolean:
		words = []string{"", "ne", "exists"}
	case column.Kind() == query.Text && slices.Contains([]string{"date", "date-time", "time"}, format):
		words = []string{"", "gt", "gte", "lt", "lte", "in", "prefix", "exists"}
	case column.Kind() == query.Text:
		words = []string{"", "ne", "in", "prefix", "exists"}
	case column.Kind() == query.Time:
		words = []string{"gt", "gte", "lt", "lte"}
	default:
		words = []string{"", "gt", "gte", "lt", "lte", "ne", "in", "exists"}
	}
	return slices.DeleteFunc(slices.Clone(contract.Operators(column.Kind())), func(o contract.Operator) bool {
		return !slices.Contains(words, o.Word) || o.Op == query.Present && !column.Nullable()
	})
}

// filter returns the parameter of a filter.
func filter(column query.Column, operator contract.Operator) *openapi3.Parameter {
	p := openapi3.NewQueryParameter(contract.FilterName(column.Name(), operator))
	p.Description = "Return only entities whose `" + column.Name() + "` " + operator.Means + "."
	if column.Indexed() {
		p.Description += " This member has an index."
	}
	value := valueSchema(column.Kind())
	switch operator.Word {
	case "in":
		p.Schema = openapi3.NewArraySchema().WithItems(value).WithMinItems(1).WithMaxItems(1000).NewRef()
		return listed(p)
	case "exists":
		value = openapi3.NewBoolSchema()
	}
	p.Schema = value.NewRef()
	return p
}

// valueSchema returns the schema of a value to compare with.
func valueSchema(kind query.Kind) *openapi3.Schema {
	switch kind {
	case query.Integer:
		return openapi3.NewIntegerSchema()
	case query.Number:
		return openapi3.NewFloat64Schema().WithFormat("double")
	case query.Boolean:
		return openapi3.NewBoolSchema()
	case query.Time:
		return openapi3.NewDateTimeSchema()
	}
	return openapi3.NewStringSchema()
}

// listParameters returns the parameters of a list that name members.
func listParameters(c *collections.Collection) openapi3.Parameters {
	var keys []any
	columns := query.Columns(c)
	for _, column := range columns {
		keys = append(keys, column.Name(), "-"+column.Name())
		if column.Nullable() { // the opposite of its default order
			keys = append(keys, column.Name()+".nullslast", "-"+column.Name()+".nullsfirst")
		}
	}
	sort := listed(openapi3.NewQueryParameter("sort").WithDescription("The members to sort by, separated by commas. A `-` before the name sorts in descending order. Entities that lack the member come first in ascending order and last in descending order; `.nullslast` or `.nullsfirst` after the name overrides that. Ties are sorted by id."))
	sort.Schema = openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema().WithEnum(keys...)).WithMinItems(1).WithMaxItems(8).NewRef()
	all := openapi3.Parameters{&openapi3.ParameterRef{Value: sort}}

	formats := map[string]string{}
	for _, p := range c.Properties() {
		formats[p.Name] = p.Format
	}
	shared := len(serverColumns())
	for i := range columns {
		// The collection's own members first.
		column := columns[(i+shared)%len(columns)]
		server := (i+shared)%len(columns) < shared
		for _, operator := range documented(column, formats[column.Name()]) {
			switch name := contract.FilterName(column.Name(), operator); {
			case slices.Contains(contract.ListParameters, name): // it is a parameter of lists
			case server:
				all = append(all, parameterRef(serverFilter(column, operator)))
			default:
				all = append(all, &openapi3.ParameterRef{Value: filter(column, operator)})
			}
		}
	}
	return all
}
