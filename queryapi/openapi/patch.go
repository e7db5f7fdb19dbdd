package openapi

import "slices"

// mergePatch turns the schema of an object into the schema of merge patches (RFC 7396) to it: no
// member is required, null removes a member, and the same holds for nested objects. Rules for a
// complete document do not apply to a patch.
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

// patchMember returns the schema of a member of a merge patch.
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
	delete(member, "default") // a patch gets no default values
	// An alternative with null keeps the type, and the names of the values of an enumeration.
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

// isObject reports whether a schema describes objects and names their members.
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
