package openapi

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

// An operation is an operation and its possible responses.
type operation struct {
	id, summary, description, tag string
	// parameters are the names of shared parameters.
	parameters []string
	body       *openapi3.RequestBody
	status     int
	success    *openapi3.Response
	problems   []string
}

// always are the problems that every operation can have.
var always = []string{"badRequest", "internal", "unavailable"}

func (o operation) build() *openapi3.Operation {
	op := openapi3.NewOperation()
	op.OperationID, op.Summary, op.Description, op.Tags = o.id, o.summary, o.description, []string{o.tag}
	for _, name := range o.parameters {
		op.Parameters = append(op.Parameters, parameterRef(name+"Parameter"))
	}
	if o.body != nil {
		op.RequestBody = &openapi3.RequestBodyRef{Value: o.body}
	}
	op.Responses = openapi3.NewResponsesWithCapacity(8)
	op.Responses.Set(strconv.Itoa(o.status), &openapi3.ResponseRef{Value: o.success})
	for _, name := range slices.Concat(always, o.problems) {
		op.Responses.Set(strconv.Itoa(answers[name].status), &openapi3.ResponseRef{Ref: "#/components/responses/" + problemResponse(name)})
	}
	return op
}

func response(description string, content openapi3.Content, names ...string) *openapi3.Response {
	r := openapi3.NewResponse().WithDescription(description)
	r.Content, r.Headers = content, openapi3.Headers{}
	for _, name := range append(names, "X-Request-Id") {
		r.Headers[name] = headerRef(name)
	}
	return r
}

func jsonContent(schema *openapi3.SchemaRef, example map[string]any) openapi3.Content {
	media := openapi3.NewMediaType().WithSchemaRef(schema)
	if example != nil {
		media.Example = example
	}
	return openapi3.Content{contract.JSON: media}
}

func requestBody(description string, content openapi3.Content) *openapi3.RequestBody {
	return openapi3.NewRequestBody().WithDescription(description).WithRequired(true).WithContent(content)
}

var (
	readHeaders = []string{contract.HeaderPosition, contract.HeaderConsistency}
	readAsks    = []string{"consistency", "minPosition", "ifNoneMatch"}
	writeAsks   = []string{"idempotencyKey", "refusalConsistency"}
	// writeProblems are the problems of a write with a body.
	writeProblems = []string{"notFound", "notAcceptable", "requestTimeout", "conflict", "contentTooLarge", "unsupportedMediaType", "unprocessable"}
)

func (b builder) collectionPath(r resource) *openapi3.PathItem {
	name := r.Name()
	array := openapi3.NewArraySchema()
	array.Items = schemaRef(r.entity)
	content := jsonContent(array.NewRef(), nil)
	if example := r.entityExample(); example != nil {
		content[contract.JSON].Example = []any{example}
	}
	list := operation{
		id: "list_" + name, tag: name, summary: "List " + name,
		description: "Returns one page of the entities that match all filters. The `Link` field leads to the next page.",
		parameters:  slices.Concat(sharedListParameters(), readAsks), status: http.StatusOK,
		success:  response("A page of "+name+".", content, slices.Concat(readHeaders, []string{"ETag", "Link", "Total-Count"})...),
		problems: []string{"notAcceptable"},
	}.build()
	list.Parameters = append(listParameters(r.Collection), list.Parameters...)
	list.Parameters = append(list.Parameters, queryParameter(listing.At, "List the entities as they were at this position or time, such as `2026-11-24T14:05:00Z`, in the order of ids. `count` and any other `sort` are not available then.", momentSchema()))
	list.Responses.Set("304", notModified())
	list.Extensions = map[string]any{linesKeyword: lines{
		Description: "With `Accept: " + contract.NDJSON + "` the response streams all matching entities, one per line, from one consistent snapshot. Without `limit`, their number is unlimited.",
		Response:    &lineSchema{http.StatusOK, schemaRef(r.entity)},
	}}

	create := operation{
		id: "create_" + name, tag: name, summary: "Create an entity in " + name,
		parameters: writeAsks, status: http.StatusCreated,
		body:     requestBody("The members that the collection declares. Members that the server sets are ignored.", jsonContent(schemaRef(r.document), r.example)),
		success:  response("The created entity.", jsonContent(schemaRef(r.entity), r.entityExample()), "ETag", "Location", contract.HeaderPosition),
		problems: writeProblems[1:],
	}.build()
	create.Extensions = map[string]any{linesKeyword: lines{
		Description: "With `Content-Type: " + contract.NDJSON + "` each line of the request body is an entity to create, and the response has one line with the result of each, in order. See also `clusterlite import`.",
		Request:     &lineSchema{Schema: schemaRef(r.document)},
		Response:    &lineSchema{http.StatusOK, importResultSchema(b.fieldError)},
	}}
	return &openapi3.PathItem{Get: list, Post: create}
}

func entityPath(r resource) *openapi3.PathItem {
	name := r.Name()
	entity := jsonContent(schemaRef(r.entity), r.entityExample())
	get := operation{
		id: "get_" + name, tag: name, summary: "Read an entity of " + name, parameters: slices.Concat([]string{"id", "ifMatch"}, readAsks), status: http.StatusOK,
		success:  response("The entity.", entity, slices.Concat(readHeaders, []string{"ETag", "Last-Modified"})...),
		problems: []string{"notFound", "notAcceptable", "preconditionFailed"},
	}.build()
	get.Responses.Set("304", notModified())
	get.Parameters = append(get.Parameters, queryParameter("at", "Read the entity as it was at this position or time, such as `2026-11-24T14:05:00Z`. The response is 404 if it did not exist or was deleted then.", momentSchema()))
	problems := slices.Concat(writeProblems, []string{"preconditionFailed"})
	asks := slices.Concat([]string{"id", "ifMatch"}, writeAsks)
	changed := response("The entity after the change.", entity, "ETag", contract.HeaderPosition)
	put := operation{
		id: "replace_" + name, tag: name, summary: "Replace an entity of " + name, description: "PUT never creates an entity. If it does not exist, the response is 404.",
		parameters: asks, status: http.StatusOK, success: changed, problems: problems,
		body: requestBody("The whole document. Members that the server sets are ignored.", jsonContent(schemaRef(r.document), r.example)),
	}.build()
	patchMedia := openapi3.NewMediaType().WithSchemaRef(schemaRef(r.patch))
	patch := operation{
		id: "patch_" + name, tag: name, summary: "Change an entity of " + name, parameters: asks, status: http.StatusOK, success: changed, problems: problems,
		body: requestBody("A JSON merge patch (RFC 7396). Only the members in it change; null removes a member.", openapi3.Content{contract.MergePatch: patchMedia, contract.JSON: patchMedia}),
	}.build()
	remove := operation{
		id: "delete_" + name, tag: name, summary: "Delete an entity of " + name, parameters: asks, status: http.StatusNoContent,
		success: response("The entity was deleted.", nil, contract.HeaderPosition), problems: []string{"notFound", "conflict", "preconditionFailed", "unprocessable"},
	}.build()
	return &openapi3.PathItem{Get: get, Put: put, Patch: patch, Delete: remove}
}

// momentSchema describes a position or time.
func momentSchema() *openapi3.Schema {
	return openapi3.NewStringSchema().WithPattern(`^([0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}T.*)$`)
}

func notModified() *openapi3.ResponseRef {
	return &openapi3.ResponseRef{Value: response("The client's copy is current.", nil, slices.Concat(readHeaders, []string{"ETag"})...)}
}

func rootPath() *openapi3.PathItem {
	entry := openapi3.NewObjectSchema().WithProperty("name", openapi3.NewStringSchema()).WithProperty("href", openapi3.NewStringSchema()).WithProperty("description", openapi3.NewStringSchema())
	entry.Required = []string{"name", "href"}
	read := openapi3.NewObjectSchema().WithProperty("name", openapi3.NewStringSchema()).WithProperty("href", openapi3.NewStringSchema())
	read.Required = []string{"name", "href"}
	model := openapi3.NewObjectSchema().WithProperty("name", openapi3.NewStringSchema()).WithProperty("description", openapi3.NewStringSchema()).
		WithProperty("reads", described(openapi3.NewArraySchema().WithItems(read), "The tables, views and queries of the read model."))
	model.Required = []string{"name", "reads"}
	s := openapi3.NewObjectSchema().
		WithProperty("collections", openapi3.NewArraySchema().WithItems(entry)).
		WithProperty("models", openapi3.NewArraySchema().WithItems(model)).
		WithProperty("description", openapi3.NewStringSchema()).WithProperty("documentation", openapi3.NewStringSchema())
	s.Required = []string{"collections", "description", "documentation"}
	return &openapi3.PathItem{Get: static("get_clusterlite", "List the collections and read models", response("The collections and read models.", jsonContent(s.NewRef(), nil), "ETag", contract.HeaderPosition))}
}

func descriptionPath() *openapi3.PathItem {
	return &openapi3.PathItem{Get: static("get_openapi", "Read this description", response("This description, in OpenAPI 3.1.", jsonContent(openapi3.NewObjectSchema().NewRef(), nil), "ETag", contract.HeaderPosition))}
}

// static returns the operation that reads a resource which does not depend on the data.
func static(id, summary string, success *openapi3.Response) *openapi3.Operation {
	get := operation{id: id, tag: tagOfNone, summary: summary, parameters: []string{"ifNoneMatch"}, status: http.StatusOK, success: success, problems: []string{"notAcceptable"}}.build()
	get.Responses.Set("304", &openapi3.ResponseRef{Value: response("The client's copy is current.", nil, "ETag", contract.HeaderPosition)})
	return get
}
