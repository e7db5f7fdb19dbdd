package openapi

import "slices"

// mergePatch makes of an object's schema that of merge patches (RFC 7396) to it: no member
// is required, null removes one, and the same holds for objects in it. What a whole
// document must meet, a patch need not.
func (s *source) mergePatch(schema any) any {
	from, ok := schema.(map[string]any)
	if !ok {
		return schema // true or false
	}
	to := map[string]any{"type": "object"}
	if description, has := from["description"]; has {
		to["description"] = description
	}
	for _, keyword := range []string{"properties", "patternProperties"} {
		if members, has := from[keyword]; has {
			to[keyword] = each(members, s.patchMember)
		}
	}
	if rest, has := from["additionalProperties"]; has {
		to["additionalProperties"] = s.patchMember(rest)
	}
	if rule, has := from["propertyNames"]; has {
		to["propertyNames"] = s.plain(rule)
	}
	return to
}

// patchMember is the schema of a member of a merge patch.
func (s *source) patchMember(schema any) any {
	from, ok := schema.(map[string]any)
	if !ok {
		return schema
	}
	if reference, ok := from["$ref"].(string); ok {
		path := s.pointer(reference)
		switch target, _ := s.at(path).(map[string]any); {
		case path == "":
			return orNull(map[string]any{"$ref": componentRef(s.patch)})
		case isObject(target):
			return orNull(map[string]any{"$ref": s.lift("_patch", path, s.mergePatch)})
		}
		return orNull(s.plain(schema))
	}
	if isObject(from) {
		patch := s.mergePatch(from).(map[string]any)
		patch["type"] = []any{"object", "null"}
		return patch
	}
	member, _ := s.plain(schema).(map[string]any)
	delete(member, "default") // nothing is filled in
	// As an alternative, null leaves the type and the names of an enumeration's values alone.
	for _, keyword := range []string{"allOf", "anyOf", "oneOf", "not", "if", "enum", "const"} {
		if _, has := member[keyword]; has && !slices.Contains(asList(member["enum"]), nil) {
			return orNull(member)
		}
	}
	switch t := member["type"].(type) {
	case string:
		if t != "null" {
			member["type"] = []any{t, "null"}
		}
	case []any:
		if !slices.Contains(t, any("null")) {
			member["type"] = append(slices.Clone(t), "null")
		}
	}
	return member
}

// isObject reports whether a schema is of objects whose members it names.
func isObject(schema map[string]any) bool {
	_, named := schema["properties"].(map[string]any)
	switch t := schema["type"].(type) {
	case nil:
		return named
	case string:
		return named && t == "object"
	case []any:
		return named && slices.Contains(t, any("object"))
	}
	return false
}

func orNull(schema any) map[string]any {
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
}
