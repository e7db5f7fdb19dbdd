package collections

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/events/nearest"
)

// A mistake is an error in a collection's file, with its place.
type mistake struct{ pointer, reason string }

func mistakeAt(pointer, format string, args ...any) *mistake {
	return &mistake{pointer, fmt.Sprintf(format, args...)}
}

// findMistake looks for errors that JSON Schema allows but no author can intend. For example,
// unknown keywords and formats would check nothing.
func findMistake(root map[string]any) *mistake {
	return eachSchema(root, "", func(pointer string, schema map[string]any) *mistake {
		for _, key := range slices.Sorted(maps.Keys(schema)) {
			if m := checkKeyword(pointer, key); m != nil {
				return m
			}
		}
		for _, check := range []func(string, map[string]any) *mistake{checkDialect, checkFormat, checkCounts, checkRequired} {
			if m := check(pointer, schema); m != nil {
				return m
			}
		}
		return nil
	})
}

// eachSchema visits a schema and all nested schemas, in order. It skips values that are not
// schemas, such as those of enum, const, default and examples.
func eachSchema(value any, pointer string, visit func(pointer string, schema map[string]any) *mistake) *mistake {
	schema, ok := value.(map[string]any)
	if !ok {
		return nil // true or false; the compiler rejects everything else
	}
	if m := visit(pointer, schema); m != nil {
		return m
	}
	for _, key := range slices.Sorted(maps.Keys(schema)) {
		at := pointer + "/" + escape(key)
		switch holds := keywords[key]; within := schema[key].(type) {
		case map[string]any:
			if holds == aSchema {
				if m := eachSchema(within, at, visit); m != nil {
					return m
				}
			}
			if holds != namedSchemas {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(within)) {
				if m := eachSchema(within[name], at+"/"+escape(name), visit); m != nil {
					return m
				}
			}
		case []any:
			if holds != listedSchemas {
				continue
			}
			for i, one := range within {
				if m := eachSchema(one, fmt.Sprintf("%s/%d", at, i), visit); m != nil {
					return m
				}
			}
		}
	}
	return nil
}

// checkKeyword rejects unknown keywords, and extensions in the wrong place.
func checkKeyword(pointer, key string) *mistake {
	at := pointer + "/" + escape(key)
	if key == accessKeyword {
		if pointer == "" {
			return nil
		}
		return mistakeAt(at, "%s belongs at the top of the schema", key)
	}
	if isExtension(key) {
		if strings.HasPrefix(pointer, "/properties/") && strings.Count(pointer, "/") == 2 {
			return nil
		}
		return mistakeAt(at, "unknown keyword %q here: %s are only for top-level properties", key, extensionList())
	}
	if _, known := keywords[key]; known {
		return nil
	}
	if hint := keywordHints[key]; hint != "" {
		return mistakeAt(at, "unknown keyword %q: %s", key, hint)
	}
	if strings.HasPrefix(key, "x-") && !likeExtension(key) {
		return nil // an annotation of another tool
	}
	return mistakeAt(at, "unknown keyword %q.%s", key, suggest(key, keywordNames()))
}

// dialect is the only supported version of JSON Schema.
const dialect = "https://json-schema.org/draft/2020-12/schema"

func checkDialect(pointer string, schema map[string]any) *mistake {
	if named, ok := schema["$schema"].(string); ok && strings.TrimSuffix(named, "#") != dialect {
		return mistakeAt(pointer+"/$schema", "must be %q or omitted: %q is a different dialect, in which keywords have other meanings", dialect, named)
	}
	return nil
}

func checkFormat(pointer string, schema map[string]any) *mistake {
	format, ok := schema["format"].(string)
	if !ok {
		return nil // the compiler rejects other types
	}
	at := pointer + "/format"
	if !slices.Contains(formats, format) {
		return mistakeAt(at, "unknown format %q, which would not be checked.%s Supported formats: %s.", format, suggest(format, formats), strings.Join(formats, ", "))
	}
	if types := typesOf(schema); len(types) > 0 && !slices.Contains(types, "string") {
		return mistakeAt(at, "the format %q is for strings, but the type is %s", format, strings.Join(types, " or "))
	}
	return nil
}

// typesOf returns the types in a schema's type keyword, if any.
func typesOf(schema map[string]any) []string {
	switch t := schema["type"].(type) {
	case string:
		return []string{t}
	case []any:
		var types []string
		for _, one := range t {
			if s, ok := one.(string); ok {
				types = append(types, s)
			}
		}
		return types
	}
	return nil
}

// maxCount is the maximum for keywords that hold a count: the schema library converts them
// to 64-bit integers without checking for overflow.
const maxCount = 1 << 53

func checkCounts(pointer string, schema map[string]any) *mistake {
	for _, key := range countKeywords {
		n, ok := schema[key].(json.Number)
		if !ok {
			continue
		}
		if r, ok := new(big.Rat).SetString(string(n)); !ok || r.Cmp(big.NewRat(maxCount, 1)) > 0 {
			return mistakeAt(pointer+"/"+key, "must be at most %d", int64(maxCount))
		}
	}
	return nil
}

// checkRequired rejects a required member that the same schema forbids, because no document
// could ever be valid.
func checkRequired(pointer string, schema map[string]any) *mistake {
	required, _ := schema["required"].([]any)
	if _, patterns := schema["patternProperties"]; patterns || schema["additionalProperties"] != false {
		return nil
	}
	declared, ok := schema["properties"].(map[string]any)
	if _, given := schema["properties"]; given && !ok {
		return nil // the compiler rejects it
	}
	for i, one := range required {
		name, ok := one.(string)
		if _, there := declared[name]; ok && !there {
			return mistakeAt(fmt.Sprintf("%s/required/%d", pointer, i), "%q is required, but it is not a declared property and additionalProperties is false.%s",
				name, suggest(name, slices.Sorted(maps.Keys(declared))))
		}
	}
	return nil
}

// suggest returns a sentence with the most similar known name, preceded by a space. It returns
// "" if no known name is similar.
func suggest(name string, known []string) string {
	near, found := nearest.Name(name, known)
	if !found {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", near)
}
