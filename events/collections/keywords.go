package collections

import (
	"maps"
	"slices"
)

// A holding is the kind of value that a keyword has.
type holding int

const (
	noSchema      holding = iota // a value, or an annotation
	aSchema                      // one schema
	listedSchemas                // an array of schemas
	namedSchemas                 // an object of schemas, whose keys are names
)

// keywords are the keywords of JSON Schema 2020-12, with the kind of value of each. The
// extensions are not included.
var keywords = map[string]holding{
	// Core.
	"$schema": noSchema, "$id": noSchema, "$ref": noSchema, "$anchor": noSchema, "$dynamicRef": noSchema,
	"$dynamicAnchor": noSchema, "$vocabulary": noSchema, "$comment": noSchema, "$defs": namedSchemas,
	"definitions": namedSchemas, // the old name of $defs, to which references may still point
	// Applicators.
	"allOf": listedSchemas, "anyOf": listedSchemas, "oneOf": listedSchemas, "prefixItems": listedSchemas,
	"not": aSchema, "if": aSchema, "then": aSchema, "else": aSchema, "items": aSchema, "contains": aSchema,
	"additionalProperties": aSchema, "propertyNames": aSchema, "unevaluatedItems": aSchema, "unevaluatedProperties": aSchema,
	"properties": namedSchemas, "patternProperties": namedSchemas, "dependentSchemas": namedSchemas,
	// Validation.
	"type": noSchema, "const": noSchema, "enum": noSchema, "multipleOf": noSchema, "maximum": noSchema,
	"exclusiveMaximum": noSchema, "minimum": noSchema, "exclusiveMinimum": noSchema, "maxLength": noSchema,
	"minLength": noSchema, "pattern": noSchema, "maxItems": noSchema, "minItems": noSchema, "uniqueItems": noSchema,
	"maxContains": noSchema, "minContains": noSchema, "maxProperties": noSchema, "minProperties": noSchema,
	"required": noSchema, "dependentRequired": noSchema, "format": noSchema,
	// Annotations.
	"title": noSchema, "description": noSchema, "default": noSchema, "deprecated": noSchema, "readOnly": noSchema,
	"writeOnly": noSchema, "examples": noSchema, "contentEncoding": noSchema, "contentMediaType": noSchema, "contentSchema": aSchema,
}

// keywordNames returns all known keywords, including the extensions.
func keywordNames() []string {
	return slices.Sorted(slices.Values(append(append(slices.Collect(maps.Keys(keywords)), accessKeyword), extensionNames()...)))
}

// keywordHints say what to write instead of a keyword of another dialect.
var keywordHints = map[string]string{
	"nullable":         `write "type": ["string", "null"] instead, with the property's own type`,
	"unique":           "x-unique makes a property unique, uniqueItems the items of an array",
	"index":            "x-index gives a property an index",
	"id":               `write "$id" instead`,
	"dependencies":     "write dependentRequired or dependentSchemas instead",
	"additionalItems":  "write prefixItems, followed by items, instead",
	"$recursiveRef":    "write $dynamicRef instead",
	"$recursiveAnchor": "write $dynamicAnchor instead",
}

// countKeywords are the keywords whose value is a count.
var countKeywords = []string{"maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength", "minProperties"}

// formats are the supported formats, all of which are checked.
var formats = []string{
	"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "iri", "iri-reference", "json-pointer", "period",
	"regex", "relative-json-pointer", "semver", "time", "uri", "uri-reference", "uri-template", "uuid",
}
