package openapi

import (
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

const live = "\n\nWith `live=long-poll` and an `offset` the request waits for a change, and the response is 204 if none comes. With `live=sse` the response is a stream of server-sent events (`text/event-stream`). Both follow the Durable Streams protocol 1.0."

// changesSchema describes events as the feed shows them.
func changesSchema() *openapi3.SchemaRef {
	text := openapi3.NewStringSchema
	change := openapi3.NewObjectSchema().
		WithProperty("id", text()).WithProperty("type", text()).WithProperty("subject", text()).WithProperty("time", text()).
		WithProperty("entityversion", text()).WithProperty("position", text()).WithProperty("appendedat", text()).
		WithProperty("data", openapi3.NewObjectSchema())
	change.Required = []string{"id", "type", "subject", "time", "entityversion", "position", "appendedat"}
	change.Description = "A CloudEvent. `subject` is the entity's id, and `data` its document after the event."
	array := openapi3.NewArraySchema()
	array.Items = change.NewRef()
	return array.NewRef()
}

// versionsSchema describes the events of an entity: those of the feed, with the actor for admins.
func versionsSchema() *openapi3.SchemaRef {
	versions := changesSchema()
	change := versions.Value.Items.Value
	change.WithProperty("actor", openapi3.NewStringSchema())
	change.Description += " `actor` is the client that asked for the change, if it is known and the caller has the role `admin`."
	return versions
}

func queryParameter(name, description string, schema *openapi3.Schema) *openapi3.ParameterRef {
	p := openapi3.NewQueryParameter(name).WithSchema(schema)
	p.Description = description
	return &openapi3.ParameterRef{Value: p}
}

// changesPath describes a change feed: of a collection with its filters, or of all.
func changesPath(tag, id, of string, filters openapi3.Parameters) *openapi3.PathItem {
	get := operation{
		id: id, tag: tag, summary: "Read the changes of " + of,
		description: "Returns the admitted events after an offset, in the order of the log. An offset means the same on every node." + live,
		parameters:  readAsks, status: http.StatusOK, problems: []string{"notFound"},
		success: response("The changes. The next request begins at the offset in the header.", jsonContent(changesSchema(), nil),
			contract.HeaderPosition, contract.HeaderConsistency, "ETag", changes.HeaderNextOffset, changes.HeaderUpToDate),
	}.build()
	text := openapi3.NewStringSchema
	get.Parameters = append(openapi3.Parameters{
		queryParameter("offset", "Where to begin: `-1` for the beginning, `now` for the end, an offset that an earlier response gave, or the `Clusterlite-Position` of a list.", text().WithPattern(`^(-1|now|[0-9]{1,18})$`)),
		queryParameter("limit", "The maximum number of changes.", openapi3.NewIntegerSchema().WithMin(1).WithMax(changes.MaxLimit).WithDefault(changes.DefaultLimit)),
		queryParameter("previous", "Whether each change has the previous document in `previous`, or null.", openapi3.NewBoolSchema()),
		queryParameter("id", "Only changes of these entities: ids, separated by commas.", text()),
		queryParameter("type", "Only changes of these types: `created`, `updated`, `deleted`, `restored`, separated by commas.", text().WithPattern(`^(created|updated|deleted|restored)(,(created|updated|deleted|restored))*$`)),
	}, get.Parameters...)
	get.Parameters = append(filters, get.Parameters...)
	get.Responses.Set("304", notModified())
	return &openapi3.PathItem{Get: get}
}

func versionsPath(r resource) *openapi3.PathItem {
	get := operation{
		id: "versions_" + r.Name(), tag: r.Name(), summary: "List the versions of an entity of " + r.Name(),
		description: "Returns the events of the entity, newest first, also if it was deleted. The `Link` field leads to the next page.",
		parameters:  []string{"id", "consistency", "minPosition"}, status: http.StatusOK, problems: []string{"notFound"},
		success: response("The versions.", jsonContent(versionsSchema(), nil), contract.HeaderPosition, contract.HeaderConsistency, "Link"),
	}.build()
	get.Parameters = append(get.Parameters,
		queryParameter("before", "Only versions below this one.", openapi3.NewIntegerSchema().WithMin(1).WithMax(1<<53)),
		queryParameter("limit", "The maximum number of versions.", openapi3.NewIntegerSchema().WithMin(1).WithMax(1000).WithDefault(50)))
	return &openapi3.PathItem{Get: get}
}

func versionPath(r resource) *openapi3.PathItem {
	get := operation{
		id: "version_" + r.Name(), tag: r.Name(), summary: "Read a version of an entity of " + r.Name(), parameters: append([]string{"id"}, readAsks...), status: http.StatusOK,
		success:  response("The entity as it was.", jsonContent(schemaRef(r.entity), r.entityExample()), contract.HeaderPosition, contract.HeaderConsistency, "ETag"),
		problems: []string{"notFound"},
	}.build()
	version := openapi3.NewPathParameter("version").WithSchema(openapi3.NewIntegerSchema().WithMin(1))
	version.Description = "The version."
	get.Parameters = append(get.Parameters, &openapi3.ParameterRef{Value: version})
	get.Responses.Set("304", notModified())
	return &openapi3.PathItem{Get: get}
}

func restorePath(r resource) *openapi3.PathItem {
	version := openapi3.NewObjectSchema().WithProperty("version", openapi3.NewInt64Schema().WithMin(1))
	version.Required = []string{"version"}
	version.AdditionalProperties = openapi3.AdditionalProperties{Has: new(bool)}
	post := operation{
		id: "restore_" + r.Name(), tag: r.Name(), summary: "Restore a version of an entity of " + r.Name(),
		description: "Replaces the entity with an earlier version of it, as PUT would. Members that only the server sets keep their values. A deleted entity comes back with its id, if its unique values are still free. `If-Match` then names the version of the deletion.",
		parameters:  slices.Concat([]string{"id", "ifMatch"}, writeAsks), status: http.StatusOK,
		body:     requestBody("The version to restore.", jsonContent(version.NewRef(), map[string]any{"version": 1})),
		success:  response("The entity after the change.", jsonContent(schemaRef(r.entity), r.entityExample()), "ETag", contract.HeaderPosition),
		problems: slices.Concat(writeProblems, []string{"preconditionFailed"}),
	}.build()
	return &openapi3.PathItem{Post: post}
}
