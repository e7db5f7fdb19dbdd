package openapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Keywords of JSON Schema, by the kind of their value. All others hold data or scalars.
var (
	holdSchema  = []string{"items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema"}
	holdList    = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	holdMap     = []string{"properties", "patternProperties", "dependentSchemas"}
	holdNothing = []string{"$schema", "$id", "$anchor", "$dynamicAnchor", "$comment", "$defs", "definitions", "x-access"}
)

// A source is the schema of a collection, parts of which become components. Many code generators
// can't follow a reference into a component, such as #/components/schemas/orders/$defs/line, so
// every target of a reference becomes a separate component.
type source struct {
	root map[string]any
	// name is the name of the collection. document and patch are the names of the components of
	// its two forms.
	name, document, patch string
	names                 names
	// lifted has the names of components, by form and pointer.
	lifted map[string]string
	// components has the schemas of these components, by name.
	components map[string]any
}

// plain copies a schema, with references to components.
func (s *source) plain(schema any) any {
	from, ok := schema.(map[string]any)
	if !ok {
		return schema // true or false
	}
	to := make(map[string]any, len(from))
	for keyword, value := range from {
		switch {
		case keyword == "$ref" || keyword == "$dynamicRef":
			if reference, ok := value.(string); ok {
				to["$ref"] = s.component(reference)
			}
		case keyword == "x-default":
			to["readOnly"] = true
		case slices.Contains(holdNothing, keyword):
		case slices.Contains(holdSchema, keyword):
			to[keyword] = s.plain(value)
		case slices.Contains(holdList, keyword):
			list := make([]any, len(asList(value)))
			for i, one := range asList(value) {
				list[i] = s.plain(one)
			}
			to[keyword] = list
		case slices.Contains(holdMap, keyword):
			to[keyword] = each(value, s.plain)
		case keyword == "title":
			// Code generators name types by titles, which need not be unique in a schema.
			if _, has := from["description"]; !has {
				to["description"] = value
			}
		default:
			to[keyword] = value
		}
	}
	if _, has := to["format"]; !has && isNumber(to["type"]) {
		to["format"] = "double" // without it, some generators choose a 32-bit type
	}
	return to
}

// isNumber reports whether a type is number, or number and null.
func isNumber(kind any) bool {
	list, ok := kind.([]any)
	return kind == "number" || ok && slices.Contains(list, any("number"))
}

// each applies a function to the values of a map.
func each(value any, f func(any) any) map[string]any {
	all, _ := value.(map[string]any)
	out := make(map[string]any, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) { // in order, because names are assigned on the way
		out[name] = f(all[name])
	}
	return out
}

// component returns a reference to the component of a reference's target.
func (s *source) component(reference string) string {
	path := s.pointer(reference)
	if path == "" {
		return componentRef(s.document)
	}
	return s.lift("", path, s.plain)
}

// lift creates a component from the schema at a pointer, once for each form.
func (s *source) lift(form, path string, convert func(any) any) string {
	key := form + path
	name, has := s.lifted[key]
	if !has {
		name = s.names.claim(s.name + "_" + nameOf(path) + form)
		s.names.reserve(name, s.at(path))
		s.lifted[key] = name // before it is converted, because it may refer to itself
		schema := convert(s.at(path))
		if m, ok := schema.(map[string]any); ok {
			m["title"] = name
		}
		s.components[name] = schema
	}
	return componentRef(name)
}

// nameOf derives a name from a pointer: line from /$defs/line.
func nameOf(path string) string {
	var parts []string
	for _, part := range strings.Split(path, "/") {
		part = plainName(unescapePointer.Replace(part))
		if part != "" && part != "defs" && part != "definitions" && part != "properties" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return "part"
	}
	return strings.Join(parts, "_")
}

// pointer returns the JSON pointer of a reference, which may name an anchor.
func (s *source) pointer(reference string) string {
	path := strings.TrimPrefix(reference, "#")
	if path == "" || strings.HasPrefix(path, "/") {
		return path
	}
	found, _ := anchor(s.root, path, "")
	return found
}

// anchor returns the pointer to the schema with an anchor.
func anchor(value any, name, at string) (pointer string, found bool) {
	switch v := value.(type) {
	case map[string]any:
		if v["$anchor"] == name || v["$dynamicAnchor"] == name {
			return at, true
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if pointer, found = anchor(v[key], name, at+"/"+escapePointer.Replace(key)); found {
				return pointer, true
			}
		}
	case []any:
		for i, one := range v {
			if pointer, found = anchor(one, name, at+"/"+strconv.Itoa(i)); found {
				return pointer, true
			}
		}
	}
	return "", false
}

var (
	escapePointer   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
)

// at returns the target of a pointer, or a schema that allows anything.
func (s *source) at(path string) any {
	var value any = s.root
	for _, part := range strings.Split(path, "/")[1:] {
		switch v := value.(type) {
		case map[string]any:
			value = v[unescapePointer.Replace(part)]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return true
			}
			value = v[i]
		}
	}
	if value == nil {
		return true
	}
	return value
}

func componentRef(name string) string { return "#/components/schemas/" + name }

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}
