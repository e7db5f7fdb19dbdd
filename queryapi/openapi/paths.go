package openapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/api"
)

// An operation and what it can be answered.
type operation struct {
	id, summary, tag string
	parameters       []string
	body             *openapi3.RequestBody
	status           int
	success          *openapi3.Response
	problems         []string
}

// always are the problems that any operation can have.
var always = []string{"badRequest", "notAcceptable", "internal", "unavailable"}

func (o operation) build() *openapi3.Operation {
	op := openapi3.NewOperation()
	op.OperationID, op.Summary, op.Tags = o.id, o.summary, []string{o.tag}
	if o.tag == "" {
		op.Tags = nil
	}
	for _, name := range o.parameters {
		op.Parameters = append(op.Parameters, parameterRef(name))
	}
	if o.body != nil {
		op.RequestBody = &openapi3.RequestBodyRef{Value: o.body}
	}
	op.Responses = openapi3.NewResponsesWithCapacity(8)
	op.Responses.Set(strconv.Itoa(o.status), &openapi3.ResponseRef{Value: o.success})
	for _, name := range slices.Concat(always, o.problems) {
		op.Responses.Set(strconv.Itoa(answers[name].status), &openapi3.ResponseRef{Ref: "#/components/responses/" + name})
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

func jsonContent(schema *openapi3.SchemaRef, example any) openapi3.Content {
	media := openapi3.NewMediaType().WithSchemaRef(schema)
	if example != nil {
		media.Example = example
	}
	return openapi3.Content{api.JSON: media}
}

var (
	readHeaders = []string{api.HeaderPosition, api.HeaderConsistency}
	readAsks    = []string{"consistency", "minPosition", "ifNoneMatch"}
)

func collectionPath(c *collections.Collection, example map[string]any) *openapi3.PathItem {
	name := c.Name()
	array := openapi3.NewArraySchema()
	array.Items = (&openapi3.Schema{AnyOf: openapi3.SchemaRefs{schemaRef(name), schemaRef(part.component(name))}}).NewRef()
	lines := openapi3.NewStringSchema()
	lines.Description = "A line of JSON for each entity."
	content := jsonContent(array.NewRef(), nil)
	var listed any
	if example != nil {
		listed = []any{entityExample(example)}
		content = jsonContent(array.NewRef(), listed)
	}
	content[api.NDJSON] = openapi3.NewMediaType().WithSchemaRef(lines.NewRef())

	list := operation{
		id: "list_" + name, tag: name, summary: "List " + name + ": a page, or with Accept: application/x-ndjson all that match.",
		parameters: slices.Concat([]string{"limit", "after", "count"}, readAsks), status: http.StatusOK,
		success: response("The entities.", content, slices.Concat(readHeaders, []string{"ETag", "Link", "Total-Count"})...),
	}.build()
	list.Parameters = append(list.Parameters, filterParameters(c)...)
	list.Responses.Set("304", notModified())

	lineBody := openapi3.NewMediaType().WithSchemaRef(described(openapi3.NewStringSchema(), "A line of JSON for each entity.").NewRef())
	results := openapi3.NewMediaType().WithSchemaRef(described(openapi3.NewStringSchema(), "A line for each line of the body: see the schema importResult.").NewRef())
	body := openapi3.NewRequestBody().WithRequired(true).WithContent(jsonContent(schemaRef(sent.component(name)), orNil(example)))
	body.Content[api.NDJSON] = lineBody
	create := operation{
		id: "create_" + name, tag: name, summary: "Create one of " + name + "; with Content-Type: application/x-ndjson, many.",
		parameters: []string{"idempotencyKey", "consistency"}, body: body, status: http.StatusCreated,
		success:  response("The new entity.", jsonContent(schemaRef(name), orNil(entityExampleOf(example))), "ETag", "Location", api.HeaderPosition),
		problems: []string{"requestTimeout", "conflict", "contentTooLarge", "unsupportedMediaType", "unprocessable"},
	}.build()
	create.Responses.Set("200", &openapi3.ResponseRef{Value: response("The results of an import, in order, as they come.", openapi3.Content{api.NDJSON: results}, api.HeaderPosition)})
	return &openapi3.PathItem{Get: list, Head: headOf(list), Post: create}
}

func entityPath(c *collections.Collection, example map[string]any) *openapi3.PathItem {
	name := c.Name()
	entity := jsonContent(schemaRef(name), orNil(entityExampleOf(example)))
	get := operation{
		id: "get_" + name, tag: name, summary: "Read one of " + name + ".", parameters: slices.Concat([]string{"id", "ifMatch"}, readAsks), status: http.StatusOK,
		success:  response("The entity.", entity, slices.Concat(readHeaders, []string{"ETag", "Last-Modified"})...),
		problems: []string{"notFound", "preconditionFailed"},
	}.build()
	get.Responses.Set("304", notModified())
	changes := []string{"notFound", "requestTimeout", "conflict", "preconditionFailed", "contentTooLarge", "unsupportedMediaType", "unprocessable"}
	asks := []string{"id", "ifMatch", "idempotencyKey", "consistency"}
	changed := response("The entity as it is now.", entity, "ETag", api.HeaderPosition)
	put := operation{
		id: "replace_" + name, tag: name, summary: "Replace one of " + name + ".", parameters: asks, status: http.StatusOK, success: changed, problems: changes,
		body: openapi3.NewRequestBody().WithRequired(true).WithContent(jsonContent(schemaRef(sent.component(name)), orNil(example))),
	}.build()
	patchMedia := openapi3.NewMediaType().WithSchemaRef(described(openapi3.NewObjectSchema(), "A merge patch (RFC 7396): null removes a member.").NewRef())
	patch := operation{
		id: "patch_" + name, tag: name, summary: "Change a part of one of " + name + ".", parameters: asks, status: http.StatusOK, success: changed, problems: changes,
		body: openapi3.NewRequestBody().WithRequired(true).WithContent(openapi3.Content{api.MergePatch: patchMedia, api.JSON: patchMedia}),
	}.build()
	remove := operation{
		id: "delete_" + name, tag: name, summary: "Delete one of " + name + ".", parameters: asks, status: http.StatusNoContent,
		success: response("It is deleted.", nil, api.HeaderPosition), problems: []string{"notFound", "conflict", "preconditionFailed", "unprocessable"},
	}.build()
	return &openapi3.PathItem{Get: get, Head: headOf(get), Put: put, Patch: patch, Delete: remove}
}

// orNil keeps a nil map from becoming an example that is null.
func orNil(example map[string]any) any {
	if example == nil {
		return nil
	}
	return example
}

func entityExampleOf(example map[string]any) map[string]any {
	if example == nil {
		return nil
	}
	return entityExample(example)
}

func notModified() *openapi3.ResponseRef {
	return &openapi3.ResponseRef{Value: response("Nothing has changed.", nil, slices.Concat(readHeaders, []string{"ETag"})...)}
}

// headOf is the same operation without a body in its answers.
func headOf(get *openapi3.Operation) *openapi3.Operation {
	h := *get
	h.OperationID = "head_" + strings.TrimPrefix(strings.TrimPrefix(get.OperationID, "get_"), "list_")
	if strings.HasPrefix(get.OperationID, "list_") {
		h.OperationID = "head_list_" + strings.TrimPrefix(get.OperationID, "list_")
	}
	h.Summary = "The header of GET."
	return &h
}

// filterParameters are the parameters of a list that name members.
func filterParameters(c *collections.Collection) openapi3.Parameters {
	add := func(all openapi3.Parameters, name, description string, schema *openapi3.Schema) openapi3.Parameters {
		p := openapi3.NewQueryParameter(name)
		p.Description, p.Schema = description, schema.NewRef()
		return append(all, &openapi3.ParameterRef{Value: p})
	}
	var names []string
	for _, column := range projections.Columns(c) {
		names = append(names, column.Name())
	}
	all := add(nil, "sort", "Members to sort by, comma between, - before one for descending: "+strings.Join(names, ", ")+". Each can end in .nullsfirst or .nullslast. The id is always last.", openapi3.NewStringSchema())
	all = add(all, "fields", "The members to give, comma between.", openapi3.NewStringSchema())
	for _, column := range projections.Columns(c) {
		for _, operator := range api.Operators(column.Kind()) {
			name, says := api.FilterName(column.Name(), operator), "Only those where "+column.Name()+" "+operator.Means+"."
			if column.Indexed() {
				says += " Indexed."
			}
			if operator.Op == projections.Present && !column.Nullable() {
				continue
			}
			if !slices.Contains(api.ListParameters, name) {
				all = add(all, name, says, openapi3.NewStringSchema())
			}
		}
	}
	return all
}

func rootPath() *openapi3.PathItem {
	entry := openapi3.NewObjectSchema().WithProperty("name", openapi3.NewStringSchema()).WithProperty("href", openapi3.NewStringSchema()).WithProperty("description", openapi3.NewStringSchema())
	entry.Required = []string{"name", "href"}
	s := openapi3.NewObjectSchema().
		WithProperty("collections", openapi3.NewArraySchema().WithItems(entry)).
		WithProperty("description", openapi3.NewStringSchema()).WithProperty("documentation", openapi3.NewStringSchema())
	s.Required = []string{"collections", "description", "documentation"}
	get := operation{id: "list_collections", summary: "List the collections.", status: http.StatusOK, success: response("The collections.", jsonContent(s.NewRef(), nil), api.HeaderPosition)}.build()
	head := headOf(get)
	head.OperationID = "head_root"
	return &openapi3.PathItem{Get: get, Head: head}
}

func descriptionPath() *openapi3.PathItem {
	get := operation{id: "get_description", summary: "This description.", status: http.StatusOK, success: response("OpenAPI 3.1.", jsonContent(openapi3.NewObjectSchema().NewRef(), nil))}.build()
	head := headOf(get)
	head.OperationID = "head_description"
	return &openapi3.PathItem{Get: get, Head: head}
}
