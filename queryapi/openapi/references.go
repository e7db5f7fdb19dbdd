package openapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Keywords of JSON Schema by what they hold. All others hold data, or scalars.
var (
	holdSchema  = []string{"items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema"}
	holdList    = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	holdMap     = []string{"properties", "patternProperties", "dependentSchemas"}
	holdNothing = []string{"$schema", "$id", "$anchor", "$dynamicAnchor", "$comment", "$defs", "definitions"}
)

// A source is the schema of a collection, whose parts become components. Many generators
// can't follow a reference into a component, such as
// #/components/schemas/orders/$defs/line, so whatever a reference leads to becomes a
// component of its own.
type source struct {
	root map[string]any
	// name is the collection's, document and patch those of the components of its forms.
	name, document, patch string
	names                 names
	// lifted are the names of components, by form and place in the source.
	lifted map[string]string
	// components are the schemas that were lifted, by name.
	components map[string]any
}

// plain copies a schema, with its references to components.
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
			// Generators name types by titles, which need not be unique in a schema.
			if _, has := from["description"]; !has {
				to["description"] = value
			}
		default:
			to[keyword] = value
		}
	}
	if _, has := to["format"]; !has && isNumber(to["type"]) {
		to["format"] = "double" // without it some languages take a number of 32 bits
	}
	return to
}

// isNumber reports whether a type is that of numbers, null or not.
func isNumber(kind any) bool {
	list, ok := kind.([]any)
	return kind == "number" || ok && slices.Contains(list, any("number"))
}

// each applies a function to the values of a map.
func each(value any, f func(any) any) map[string]any {
	all, _ := value.(map[string]any)
	out := make(map[string]any, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) { // in order: names are given on the way
		out[name] = f(all[name])
	}
	return out
}

// component gives a reference to the component of what a reference leads to.
func (s *source) component(reference string) string {
	path := s.pointer(reference)
	if path == "" {
		return componentRef(s.document)
	}
	return s.lift("", path, s.plain)
}

// lift makes a component of the schema at a pointer, once for each form.
func (s *source) lift(form, path string, convert func(any) any) string {
	key := form + path
	name, has := s.lifted[key]
	if !has {
		name = s.names.claim(s.name + "_" + nameOf(path) + form)
		s.names.reserve(name, s.at(path))
		s.lifted[key] = name // before it is converted: it may refer to itself
		schema := convert(s.at(path))
		if m, ok := schema.(map[string]any); ok {
			m["title"] = name
		}
		s.components[name] = schema
	}
	return componentRef(name)
}

// nameOf makes a name of a pointer: line of /$defs/line.
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

// pointer gives the JSON pointer that a reference is or, for one to an anchor, leads to.
func (s *source) pointer(reference string) string {
	path := strings.TrimPrefix(reference, "#")
	if path == "" || strings.HasPrefix(path, "/") {
		return path
	}
	found, _ := anchor(s.root, path, "")
	return found
}

// anchor finds the pointer of the schema that has an anchor.
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

// at gives what a pointer leads to, or a schema that allows anything.
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
