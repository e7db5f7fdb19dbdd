package openapi_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi/openapi"
)

// describe returns the description of the collections of a folder, decoded from its JSON.
func describe(t *testing.T, dir string) map[string]any {
	t.Helper()
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openapi.Describe(set, "v", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	load(t, b)
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// in returns the value at a path of names in a document.
func in(value any, names ...string) any {
	for _, name := range names {
		m, _ := value.(map[string]any)
		value = m[name]
	}
	return value
}

func keys(value any) []string {
	m, _ := value.(map[string]any)
	var all []string
	for key := range m {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// hostileCollections returns a folder of collections with names that are equal in some languages,
// titles that occur twice, references of every kind, and members with the names of keywords.
func hostileCollections(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const plain = `{"type":"object","properties":{"a":{"type":"string"},"home":{"$ref":"#/$defs/address"}},"$defs":{"address":{"title":"Address","type":"object","properties":{"street":{"type":"string"}}}}}`
	for _, name := range []string{"problem", "field_error", "items_document", "collections", "openapis", "description", "limit"} {
		writeCollection(t, dir, name, strings.Replace(plain, "{", `{"title":"`+name+`",`, 1))
	}
	writeCollection(t, dir, "items", `{"title":"items","type":"object","required":["class"],"maxProperties":9,"propertyNames":{"pattern":"^[a-z .$_-]+$"},"properties":{
		"class":{"type":"string","title":"Address"}, "title":{"type":"string"}, "type":{"type":["number","null"]}, "default":{"type":"integer","default":3},
		"address":{"title":"Address","type":"object","required":["street"],"properties":{"street":{"type":"string"},"title":{"type":"string"},"$ref":{"type":"string"}}},
		"home":{"$ref":"#/$defs/address"}, "work":{"$ref":"#/$defs/address","description":"Where."}, "same":{"$ref":"#/properties/address"}, "name":{"$ref":"#/$defs/text"},
		"anchored":{"$ref":"#node"}, "parent":{"$ref":"#"}, "children":{"type":"array","items":{"$ref":"#"}}, "tree":{"$ref":"#/$defs/tree"},
		"choice":{"oneOf":[{"type":"string"},{"$ref":"#/$defs/address"}]}, "constant":{"const":{"$ref":"#/nowhere"}}, "shape":{"type":"string","enum":["a","b"]},
		"document":{"type":"object","properties":{"x":{"type":"string"}}}, "first name":{"type":"string"}},
		"$defs":{"address":{"title":"Address","type":"object","required":["street"],"properties":{"street":{"type":"string"},"geo":{"$ref":"#/$defs/geo"}}},
			"geo":{"type":"object","properties":{"lat":{"type":"number"},"of":{"$ref":"#/$defs/address"}}}, "text":{"type":"string","minLength":1},
			"tree":{"type":"object","properties":{"leaves":{"type":"array","items":{"$ref":"#/$defs/tree"}}}}, "a/b~c d":{"$anchor":"node","type":"object","properties":{"x":{"type":"integer"}}}}}`)
	return dir
}

func writeCollection(t *testing.T, dir, name, schema string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever the collections are, the description has nothing that generators can't process.
func TestDescriptionSuitsGenerators(t *testing.T) {
	for name, dir := range map[string]string{"examples": "../../examples", "hostile": hostileCollections(t)} {
		t.Run(name, func(t *testing.T) {
			doc := describe(t, dir)
			component := regexp.MustCompile(`^#/components/[a-z]+i?[a-zA-Z]*/[A-Za-z0-9_-]+$`)
			walk(doc, func(m map[string]any) {
				if to, ok := m["$ref"].(string); ok && to != "#/nowhere" {
					if names := strings.Split(strings.TrimPrefix(to, "#/"), "/"); !component.MatchString(to) || in(doc, names...) == nil {
						t.Errorf("got a reference to %s, want a component that exists", to)
					}
				}
				if m["$defs"] != nil || m["$anchor"] != nil {
					t.Errorf("got a schema with %v, want neither $defs nor $anchor", keys(m))
				}
			})
			titles, types := map[any]string{}, map[string]string{}
			for _, key := range keys(in(doc, "components", "schemas")) {
				title := in(doc, "components", "schemas", key, "title")
				if other, twice := titles[title]; twice || title == nil {
					t.Errorf("%s and %s: got the title %v, want a title for each", other, key, title)
				}
				titles[title] = key
				plain := strings.ToLower(strings.ReplaceAll(key, "_", ""))
				if other, twice := types[plain]; twice {
					t.Errorf("got the names %s and %s, want names that differ without underscores", other, key)
				}
				types[plain] = key
			}
			ids := map[any]bool{}
			for _, path := range keys(doc["paths"]) {
				for _, method := range keys(in(doc, "paths", path)) {
					operation := in(doc, "paths", path, method)
					if id := in(operation, "operationId"); method == "head" || ids[id] {
						t.Errorf("%s %s: got the id %v, want an id that occurs once", method, path, id)
					} else {
						ids[id] = true
					}
					responses, _ := in(operation, "responses").(map[string]any)
					for status := range responses {
						if content := keys(in(responses, status, "content")); strings.HasPrefix(status, "2") && len(content) > 1 {
							t.Errorf("%s %s: %s: got the media types %v, want one", method, path, status, content)
						}
					}
					if strings.HasPrefix(path, "/openapi") || path == "/" {
						continue
					}
					if described := in(operation, "x-ndjson") != nil; described != (method == "get" && !strings.Contains(path, "{") && !strings.HasSuffix(path, "/changes") || method == "post" && !strings.HasSuffix(path, "/restore")) {
						t.Errorf("%s %s: got lines described: %v, want that for lists and creates alone", method, path, described)
					}
				}
			}
		})
	}
}

// walk calls a function for each object in a document, except for data in schemas.
func walk(value any, f func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		f(v)
		for key, inner := range v {
			if key != "const" && key != "example" && key != "examples" && key != "properties" {
				walk(inner, f)
			}
			if key == "properties" { // its keys are names of members, not keywords
				for _, member := range inner.(map[string]any) {
					walk(member, f)
				}
			}
		}
	case []any:
		for _, inner := range v {
			walk(inner, f)
		}
	}
}

func TestFormsOfHostileCollection(t *testing.T) {
	schemas := in(describe(t, hostileCollections(t)), "components", "schemas")
	text := func(names ...string) string {
		b, err := json.Marshal(in(schemas, names...))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for place, want := range map[string]string{
		"items properties home":             `{"$ref":"#/components/schemas/items_address_2"}`,
		"items properties work":             `{"$ref":"#/components/schemas/items_address_2","description":"Where."}`,
		"items properties class":            `{"description":"Address","type":"string"}`,
		"items properties constant":         `{"const":{"$ref":"#/nowhere"}}`,
		"items properties version minimum":  `1`,
		"items maxProperties":               `13`,
		"items_patch required":              `null`,
		"items_patch properties version":    `null`,
		"items_patch properties class":      `{"description":"Address","type":["string","null"]}`,
		"items_patch properties type":       `{"format":"double","type":["number","null"]}`,
		"items_patch properties default":    `{"type":["integer","null"]}`,
		"items_patch properties shape":      `{"anyOf":[{"enum":["a","b"],"type":"string"},{"type":"null"}]}`,
		"items_patch properties constant":   `{"anyOf":[{"const":{"$ref":"#/nowhere"}},{"type":"null"}]}`,
		"items_patch properties parent":     `{"anyOf":[{"$ref":"#/components/schemas/items_patch"},{"type":"null"}]}`,
		"items_patch properties document":   `{"properties":{"x":{"type":["string","null"]}},"type":["object","null"]}`,
		"items_address_patch_2 required":    `null`,
		"items_address_2 required":          `["street"]`,
		"items_patch properties first name": `{"type":["string","null"]}`,
	} {
		names := strings.Split(place, " ")
		if names[len(names)-1] == "name" {
			names = append(names[:len(names)-2], "first name")
		}
		if got := text(names...); got != want {
			t.Errorf("%s: got %s, want %s", place, got, want)
		}
	}
}

func TestParametersHaveTypes(t *testing.T) {
	doc := describe(t, "../../examples")
	parameters := map[string]any{}
	list, _ := in(doc, "paths", "/products", "get", "parameters").([]any)
	for _, p := range list {
		if to, ok := in(p, "$ref").(string); ok {
			p = in(doc, strings.Split(strings.TrimPrefix(to, "#/"), "/")...)
		}
		parameters[in(p, "name").(string)] = p
	}
	if len(parameters) > 51 { // 50 and at
		t.Errorf("got %d parameters of the list of products, want at most 51", len(parameters))
	}
	for name, want := range map[string]string{
		"price": "number double", "price[gte]": "number double", "stock[lt]": "integer <nil>", "sold_out": "boolean <nil>", "created_at[lt]": "string date-time",
		"updated_at[gte]": "string date-time", "name[prefix]": "string <nil>", "sku[in]": "array <nil>", "sort": "array <nil>", "fields": "array <nil>", "count": "boolean <nil>", "limit": "integer <nil>", "version": "integer <nil>",
	} {
		schema := in(parameters[name], "schema")
		got := "nothing"
		if kind, ok := in(schema, "type").(string); ok {
			format, _ := in(schema, "format").(string)
			got = kind + " " + map[bool]string{true: "<nil>", false: format}[format == ""]
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if in(schema, "type") == "array" && (in(parameters[name], "explode") != false || in(parameters[name], "style") != "form") {
			t.Errorf("%s: got %v, want commas between the values", name, parameters[name])
		}
	}
	key := in(doc, "components", "parameters", "idempotencyKeyParameter", "schema")
	if in(key, "minLength") != 1.0 || in(key, "maxLength") != 255.0 || in(key, "pattern") != `^[!-~]+$` {
		t.Errorf("Idempotency-Key: got %v, want 1 to 255 visible characters", key)
	}
	if got, _ := in(doc, "components", "parameters", "consistencyParameter", "schema", "enum").([]any); len(got) != 3 {
		t.Errorf("Clusterlite-Consistency: got %v, want 3 values", got)
	}
}
