package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
)

// serverMembers are the members that the server adds to every entity. In requests they are
// ignored, and the schemas of requests omit them.
var serverMembers = map[string]any{
	"id":         map[string]any{"type": "string", "format": "uuid", "description": "The entity's id, a UUIDv7 that the server assigns."},
	"version":    map[string]any{"type": "integer", "minimum": 1, "description": "The number of the entity's current version, starting at 1. The ETag is derived from it."},
	"created_at": map[string]any{"type": "string", "format": "date-time", "description": "When the entity was created."},
	"updated_at": map[string]any{"type": "string", "format": "date-time", "description": "When the entity last changed."},
}

// A resource describes a collection as far as its paths need it.
type resource struct {
	*collections.Collection
	// entity, document and patch are the names of the schemas of responses, of bodies that create
	// or replace an entity, and of merge patches.
	entity, document, patch string
	// example is an example of a document, or nil.
	example map[string]any
}

// addSchemas adds the schemas of a collection to the components.
func addSchemas(all openapi3.Schemas, taken names, c *collections.Collection) (resource, error) {
	var root map[string]any
	if err := json.Unmarshal(c.Schema(), &root); err != nil {
		return resource{}, err
	}
	taken.reserve(c.Name(), root)
	r := resource{Collection: c, entity: c.Name(), document: taken.claim(c.Name() + "_document"), patch: taken.claim(c.Name() + "_patch")}
	for _, example := range asList(root["examples"]) {
		if m, ok := example.(map[string]any); ok && r.example == nil {
			r.example = m
		}
	}
	delete(root, "examples") // the operations have them, with the members of the server
	s := &source{root: root, name: c.Name(), document: r.document, patch: r.patch, names: taken, lifted: map[string]string{}, components: map[string]any{}}

	document, _ := s.plain(root).(map[string]any)
	s.components[r.document] = titled(withoutDefaults(document, c), r.document)
	s.components[r.entity] = titled(withServerMembers(document), r.entity)
	patch, _ := s.mergePatch(root).(map[string]any)
	s.components[r.patch] = titled(patch, r.patch)
	for name, schema := range s.components {
		ref, err := toSchema(schema)
		if err != nil {
			return r, fmt.Errorf("the schema %s: %w", name, err)
		}
		all[name] = ref
	}
	return r, nil
}

// titled returns a copy of a schema with a title. No two schemas have the same title, because
// code generators name types by it.
func titled(schema map[string]any, title string) map[string]any {
	out := maps.Clone(schema)
	out["title"] = title
	return out
}

// withoutDefaults returns a copy of the schema of a request in which no member is required that
// the server sets.
func withoutDefaults(document map[string]any, c *collections.Collection) map[string]any {
	document = maps.Clone(document)
	required := slices.DeleteFunc(slices.Clone(asList(document["required"])), func(name any) bool {
		return slices.ContainsFunc(c.Properties(), func(p collections.Property) bool { return p.Name == name && p.Default != "" })
	})
	if document["required"] != nil {
		document["required"] = required
	}
	if len(required) == 0 {
		delete(document, "required")
	}
	return document
}

func withServerMembers(document map[string]any) map[string]any {
	entity := maps.Clone(document)
	properties, _ := document["properties"].(map[string]any)
	properties = maps.Clone(properties)
	if properties == nil {
		properties = map[string]any{}
	}
	maps.Copy(properties, serverMembers)
	entity["properties"] = properties
	// The rules of a collection about all members do not take those of the server into account.
	if maximum, ok := document["maxProperties"].(float64); ok {
		entity["maxProperties"] = maximum + float64(len(serverMembers))
	}
	if rule, has := document["propertyNames"]; has {
		entity["propertyNames"] = map[string]any{"anyOf": []any{rule, map[string]any{"enum": slices.Sorted(maps.Keys(serverMembers))}}}
	}
	entity["required"] = append(slices.Clone(asList(document["required"])), "id", "version", "created_at", "updated_at")
	return entity
}

// toSchema parses a schema from its JSON.
func toSchema(value any) (*openapi3.SchemaRef, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	ref := &openapi3.SchemaRef{}
	return ref, ref.UnmarshalJSON(b)
}

// entityExample returns an example as it would be in a response.
func (r resource) entityExample() map[string]any {
	if r.example == nil {
		return nil
	}
	full := map[string]any{
		"id": "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", "version": 1,
		"created_at": "2026-11-22T12:00:00.000Z", "updated_at": "2026-11-22T12:00:00.000Z",
	}
	maps.Copy(full, r.example)
	return full
}

func problemSchema(title, fieldError string) *openapi3.SchemaRef {
	s := openapi3.NewObjectSchema().
		WithProperty("type", described(openapi3.NewStringSchema().WithFormat("uri"), "The stable identifier of the kind of problem, for programs.")).
		WithProperty("title", described(openapi3.NewStringSchema(), "A summary of the kind of problem, for people.")).
		WithProperty("status", described(openapi3.NewIntegerSchema(), "The HTTP status.")).
		WithProperty("detail", described(openapi3.NewStringSchema(), "What went wrong with this request, for people.")).
		WithProperty("instance", described(openapi3.NewStringSchema(), "The id of the request, as in X-Request-Id."))
	s.Properties["errors"] = fieldErrors(fieldError)
	s.Required = []string{"type", "title", "status"}
	s.Title, s.Description = title, "Problem details (RFC 9457)."
	return s.NewRef()
}

// fieldErrors returns the schema of the member that names invalid fields.
func fieldErrors(fieldError string) *openapi3.SchemaRef {
	list := described(openapi3.NewArraySchema(), "The invalid members of the request body.")
	list.Items = schemaRef(fieldError)
	return list.NewRef()
}

func fieldErrorSchema(title string) *openapi3.SchemaRef {
	field := openapi3.NewObjectSchema().
		WithProperty("pointer", described(openapi3.NewStringSchema(), "A JSON pointer (RFC 6901) to the member.")).
		WithProperty("detail", described(openapi3.NewStringSchema(), "What is wrong with the member."))
	field.Required = []string{"pointer", "detail"}
	field.Title, field.Description = title, "What is wrong with one member of a request body."
	return field.NewRef()
}

func importResultSchema(fieldError string) *openapi3.SchemaRef {
	s := openapi3.NewObjectSchema().
		WithProperty("line", described(openapi3.NewIntegerSchema().WithMin(1), "The number of the line in the request body, starting at 1.")).
		WithProperty("status", described(openapi3.NewIntegerSchema(), "The status that a request for this line alone would have.")).
		WithProperty("id", openapi3.NewStringSchema().WithFormat("uuid")).
		WithProperty("version", openapi3.NewIntegerSchema()).
		WithProperty("type", openapi3.NewStringSchema()).
		WithProperty("title", openapi3.NewStringSchema()).
		WithProperty("detail", openapi3.NewStringSchema())
	s.Properties["errors"] = fieldErrors(fieldError)
	s.Required = []string{"line", "status"}
	s.Description = "The result of one line of an import: an id and a version, or the members of a problem."
	return s.NewRef()
}

func described(s *openapi3.Schema, description string) *openapi3.Schema {
	s.Description = description
	return s
}
