package openapi

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
)

// serverMembers are read-only members of every entity: in a request they may stand, and
// are ignored.
var serverMembers = map[string]any{
	"id":         map[string]any{"type": "string", "format": "uuid", "readOnly": true},
	"version":    map[string]any{"type": "integer", "minimum": 1, "readOnly": true, "description": "Counts the changes, from 1; the ETag is made of it."},
	"created_at": map[string]any{"type": "string", "format": "date-time", "readOnly": true},
	"updated_at": map[string]any{"type": "string", "format": "date-time", "readOnly": true},
}

// A form is one of the shapes that a collection's entities have on the way.
type form string

const (
	whole form = ""          // as answered: the server's members are always there
	sent  form = ".document" // as a client sends it: they need not be
	part  form = ".part"     // with some members alone, as fields asks
)

// component is the name of the schema of a form.
func (f form) component(collection string) string { return collection + string(f) }

// wholeness are the keywords that demand members: a part can't meet them.
var wholeness = []string{"required", "minProperties", "dependentRequired", "dependentSchemas", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"}

// entitySchema is the schema of a collection's entities in a form, with an example if it
// has one.
func entitySchema(c *collections.Collection, f form) (*openapi3.SchemaRef, map[string]any, error) {
	var raw map[string]any
	if err := json.Unmarshal(c.Schema(), &raw); err != nil {
		return nil, nil, err
	}
	delete(raw, "$schema")
	rebase(raw, "#/components/schemas/"+f.component(c.Name()))
	properties, _ := raw["properties"].(map[string]any)
	if properties == nil {
		properties = map[string]any{}
	}
	for name, member := range serverMembers {
		properties[name] = member
	}
	raw["properties"] = properties
	switch f {
	case whole:
		raw["required"] = append(slices.Clone(asList(raw["required"])), "id", "version", "created_at", "updated_at")
	case part:
		for _, keyword := range wholeness {
			delete(raw, keyword)
		}
	}
	var example map[string]any
	for _, e := range asList(raw["examples"]) {
		if m, ok := e.(map[string]any); ok && example == nil {
			example = m
		}
	}
	delete(raw, "examples") // they lack the server's members
	b, err := json.Marshal(raw)
	if err != nil {
		return nil, nil, err
	}
	schema := &openapi3.Schema{}
	if err := schema.UnmarshalJSON(b); err != nil {
		return nil, nil, err
	}
	return &openapi3.SchemaRef{Value: schema}, example, nil
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// rebase makes references within a schema point to where it stands now.
func rebase(value any, base string) {
	switch v := value.(type) {
	case map[string]any:
		if to, ok := v["$ref"].(string); ok && strings.HasPrefix(to, "#") {
			v["$ref"] = base + strings.TrimPrefix(to, "#")
		}
		for _, inner := range v {
			rebase(inner, base)
		}
	case []any:
		for _, inner := range v {
			rebase(inner, base)
		}
	}
}

// entityExample is an example as the server answers it.
func entityExample(example map[string]any) map[string]any {
	full := map[string]any{
		"id": "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", "version": 1,
		"created_at": "2026-11-22T12:00:00.000Z", "updated_at": "2026-11-22T12:00:00.000Z",
	}
	for name, value := range example {
		full[name] = value
	}
	return full
}

func problemSchema() *openapi3.SchemaRef {
	field := openapi3.NewObjectSchema().
		WithProperty("pointer", described(openapi3.NewStringSchema(), "The place in the body (RFC 6901).")).
		WithProperty("detail", openapi3.NewStringSchema())
	field.Required = []string{"pointer", "detail"}
	s := openapi3.NewObjectSchema().
		WithProperty("type", described(openapi3.NewStringSchema().WithFormat("uri"), "Stable, for programs.")).
		WithProperty("title", openapi3.NewStringSchema()).
		WithProperty("status", openapi3.NewIntegerSchema()).
		WithProperty("detail", openapi3.NewStringSchema()).
		WithProperty("instance", described(openapi3.NewStringSchema(), "The request's id.")).
		WithProperty("errors", openapi3.NewArraySchema().WithItems(field))
	s.Required = []string{"type", "title", "status"}
	s.Description = "Problem details (RFC 9457)."
	return s.NewRef()
}

func importResultSchema() *openapi3.SchemaRef {
	s := openapi3.NewObjectSchema().
		WithProperty("line", openapi3.NewIntegerSchema().WithMin(1)).
		WithProperty("status", openapi3.NewIntegerSchema()).
		WithProperty("id", openapi3.NewStringSchema().WithFormat("uuid")).
		WithProperty("version", openapi3.NewIntegerSchema()).
		WithProperty("type", openapi3.NewStringSchema()).
		WithProperty("title", openapi3.NewStringSchema()).
		WithProperty("detail", openapi3.NewStringSchema()).
		WithProperty("errors", openapi3.NewArraySchema().WithItems(openapi3.NewObjectSchema()))
	s.Required = []string{"line", "status"}
	s.Description = "What became of one line: an id, or the members of a problem."
	return s.NewRef()
}

func described(s *openapi3.Schema, description string) *openapi3.Schema {
	s.Description = description
	return s
}
