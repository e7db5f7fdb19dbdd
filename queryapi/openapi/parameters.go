package openapi

import (
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/queryapi/listing"
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
	for _, p := range listing.Parameters {
		if p.Shared {
			all[p.Name+"Parameter"] = &openapi3.ParameterRef{Value: listParameter(p, nil)}
		}
	}
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

// serverFilter names the shared parameter of a filter by a member of the server's.
func serverFilter(column query.Column, operator listing.Operator) string {
	name := strings.ReplaceAll(column.Name(), "_a", "A") // createdAt
	if operator.Word != "" {
		name += strings.ToUpper(operator.Word[:1]) + operator.Word[1:]
	}
	return name + "Filter"
}

// documented returns the operators that have a separate parameter in the description: those
// operators of the column that make sense for its content.
func documented(column query.Column, format string) []listing.Operator {
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
	return slices.DeleteFunc(slices.Clone(listing.Operators(column.Kind())), func(o listing.Operator) bool {
		return !slices.Contains(words, o.Word) || o.Op == query.Present && !column.Nullable()
	})
}

// filter is the parameter of a filter of a collection.
func filter(column query.Column, operator listing.Operator) *openapi3.Parameter {
	return filterOf("entities", column, operator)
}

// filterOf is the parameter of a filter. what are the things that the list has.
func filterOf(what string, column query.Column, operator listing.Operator) *openapi3.Parameter {
	p := openapi3.NewQueryParameter(listing.FilterName(column.Name(), operator))
	p.Description = "Return only " + what + " whose `" + column.Name() + "` " + operator.Means + "."
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

// listParameter is a parameter of lists, of a collection or, if it is shared, of all.
func listParameter(p listing.Parameter, c *collections.Collection) *openapi3.Parameter {
	described := openapi3.NewQueryParameter(p.Name).WithDescription(p.Description)
	described.Schema = p.Schema(c).NewRef()
	if p.Commas {
		return listed(described)
	}
	return described
}

// sharedListParameters are the names of the parameters that the lists of all collections share.
func sharedListParameters() (names []string) {
	for _, p := range listing.Parameters {
		if p.Shared {
			names = append(names, p.Name)
		}
	}
	return names
}

// listParameters are the parameters of a collection's list that name members: filters, and
// parameters that are not shared.
func listParameters(c *collections.Collection) openapi3.Parameters {
	var all openapi3.Parameters
	for _, p := range listing.Parameters {
		if !p.Shared {
			all = append(all, &openapi3.ParameterRef{Value: listParameter(p, c)})
		}
	}
	return append(all, filterParameters(c, nil)...)
}

// filterParameters are the filters of a collection, except those with the names of other parameters.
func filterParameters(c *collections.Collection, except []string) (all openapi3.Parameters) {
	columns := query.Columns(c)
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
			switch name := listing.FilterName(column.Name(), operator); {
			case listing.IsParameter(name), name == listing.At, slices.Contains(except, name): // it has another meaning
			case server:
				all = append(all, parameterRef(serverFilter(column, operator)))
			default:
				all = append(all, &openapi3.ParameterRef{Value: filter(column, operator)})
			}
		}
	}
	return all
}
