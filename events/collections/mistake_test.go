package collections_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
)

func object(properties string) string {
	return `{"title":"things","type":"object","properties":{` + properties + `}}`
}

// loadError loads a folder and returns the error of the first invalid file, or nil if all files
// are valid.
func loadError(t testing.TB, files map[string]string) *collections.FileError {
	t.Helper()
	_, err := collections.Load(folder(t, files))
	if err == nil {
		return nil
	}
	var wrong *collections.FileError
	if !errors.As(err, &wrong) {
		t.Fatalf("got %v, want a FileError", err)
	}
	return wrong
}

func wantMistake(t testing.TB, schema, pointer string, reasons ...string) {
	t.Helper()
	wrong := loadError(t, map[string]string{"things.json": schema})
	if wrong == nil {
		t.Errorf("%s: got no error, want one at %s", schema, pointer)
		return
	}
	for _, reason := range reasons {
		if wrong.Pointer != pointer || !strings.Contains(wrong.Reason, reason) {
			t.Errorf("%s: got %q at %q, want %q at %q", schema, wrong.Reason, wrong.Pointer, reason, pointer)
		}
	}
}

func TestUnknownKeywords(t *testing.T) {
	wantMistake(t, `{"title":"things","type":"object","propertys":{}}`, "/propertys", `unknown keyword "propertys"`, `Did you mean "properties"?`)
	wantMistake(t, `{"title":"things","type":"object","requried":[]}`, "/requried", `Did you mean "required"?`)
	wantMistake(t, `{"title":"things","type":"object","$def":{}}`, "/$def", `Did you mean "$defs"?`)
	for keyword, reason := range map[string]string{
		"minlength": `"minLength"`, "max_length": `"maxLength"`, "patern": `"pattern"`, "Type": `"type"`, "enums": `"enum"`,
		"x_index": `"x-index"`, "x-uniqe": `"x-unique"`, "X-Unique": `"x-unique"`, "x-unique-nocase": "unknown keyword", "x-indexed": "unknown keyword",
		"x-clusterlite-ttl": "unknown keyword", "nullable": `["string", "null"]`, "example": `"examples"`, "unique": "x-unique", "index": "x-index",
		"dependencies": "dependentRequired", "additionalItems": "prefixItems", "id": `"$id"`, "ref": `"$ref"`, "frobnicate": "unknown keyword", "": "unknown keyword",
	} {
		member := `"` + keyword + `":true`
		wantMistake(t, object(`"a":{"type":"string",`+member+`}`), "/properties/a/"+keyword, reason, "unknown keyword")
		// The same holds wherever a schema can occur.
		for _, place := range []string{"items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema", "not", "if", "then", "else"} {
			wantMistake(t, object(`"a":{"`+place+`":{`+member+`}}`), "/properties/a/"+place+"/"+keyword, "unknown keyword")
		}
		for _, place := range []string{"allOf", "anyOf", "oneOf", "prefixItems"} {
			wantMistake(t, object(`"a":{"`+place+`":[true,{`+member+`}]}`), "/properties/a/"+place+"/1/"+keyword, "unknown keyword")
		}
		for _, place := range []string{"$defs", "definitions", "properties", "patternProperties", "dependentSchemas"} {
			wantMistake(t, object(`"a":{"`+place+`":{"x-b":{`+member+`}}}`), "/properties/a/"+place+"/x-b/"+keyword, "unknown keyword")
		}
	}
	wantMistake(t, object(`"a":{"type":"array","items":{"type":"string","x-unique":true}}`), "/properties/a/items/x-unique", "only for top-level properties")
	wantMistake(t, `{"title":"things","type":"object","x-index":true}`, "/x-index", "only for top-level properties")
}

// Values are not schemas, and names are not keywords.
func TestMembersThatAreNotKeywords(t *testing.T) {
	for _, schema := range []string{
		object(`"propertys":{"type":"string"},"x-uniqe":true,"format":{"type":"string"},"default":{"type":"integer"},"a":{"properties":{"enum":true,"dat":{}}}`),
		object(`"a":{"enum":[{"propertys":1}],"const":{"propertys":1}}`),
		object(`"a":{"default":{"propertys":1,"x-uniqe":2},"examples":[{"propertys":1}]}`),
		object(`"a":{"type":"string","x-order":1,"x-widget":{"propertys":1}}`),
		`{"title":"things","type":"object","x-owner":"team","$defs":{"propertys":{"type":"string"}},"dependentRequired":{"propertys":["x-uniqe"]},"patternProperties":{"requried":true}}`,
		object(`"a":{"$comment":"c","title":"t","description":"d","default":"x","deprecated":true,"readOnly":true,"writeOnly":false,"examples":[1],"contentEncoding":"base64","contentMediaType":"image/png"}`),
		`{"$schema":"https://json-schema.org/draft/2020-12/schema#","$id":"https://example.com/things","title":"things","type":"object"}`,
	} {
		if wrong := loadError(t, map[string]string{"things.json": schema}); wrong != nil {
			t.Errorf("%s: got %v, want it loaded", schema, wrong)
		}
	}
}

func TestUnknownFormats(t *testing.T) {
	for format, nearest := range map[string]string{
		"dat": `"date"`, "datetime": `"date-time"`, "date_time": `"date-time"`, "e-mail": `"email"`, "Email": `"email"`, "url": `"uri"`, "guid": `"uuid"`,
		"int64": "Supported formats: date,", "idn-email": "Supported formats: date,", "": "Supported formats: date,",
	} {
		wantMistake(t, object(`"a":{"type":"string","format":"`+format+`"}`), "/properties/a/format", "unknown format", nearest)
		wantMistake(t, object(`"a":{"items":{"anyOf":[{"format":"`+format+`"}]}}`), "/properties/a/items/anyOf/0/format", "unknown format")
	}
	wantMistake(t, object(`"a":{"type":"integer","format":"date"}`), "/properties/a/format", "is for strings")
}

// Every supported format is checked.
func TestKnownFormatsAreChecked(t *testing.T) {
	for _, format := range []string{
		"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "iri", "iri-reference", "json-pointer", "period",
		"regex", "relative-json-pointer", "semver", "time", "uri", "uri-reference", "uri-template", "uuid",
	} {
		c := load(t, "things", object(`"a":{"type":"string","format":"`+format+`"}`))
		if got := c.Validate(map[string]any{"a": "([ %zz {"}); len(got) != 1 || got[0].Pointer != "/a" {
			t.Errorf("%s: got %v, want a violation at /a", format, got)
		}
	}
}

func TestOtherMistakes(t *testing.T) {
	wantMistake(t, `{"$schema":"http://json-schema.org/draft-07/schema#","title":"things","type":"object"}`, "/$schema", "2020-12")
	wantMistake(t, `{"title":"things","type":"object","additionalProperties":false,"required":["name","nam"],"properties":{"name":{}}}`, "/required/1", `"nam" is required`, `"name"`)
	wantMistake(t, object(`"a":{"type":"object","required":["x"],"additionalProperties":false}`), "/properties/a/required/0", `"x" is required`)
	if wrong := loadError(t, map[string]string{"things.json": `{"title":"things","type":"object","required":["a","b"],"properties":{"a":{}}}`}); wrong != nil {
		t.Errorf("an open object: got %v, want it loaded", wrong)
	}
}

// The numbers in a file have the same bounds as those of clients. Counts must fit the schema
// library.
func TestNumbersInFiles(t *testing.T) {
	for _, number := range []string{"1e1000000", "1e1000001", "-1e-1000001", "1E+99999999999999999999", strings.Repeat("7", 5000)} {
		for _, keyword := range []string{"minimum", "maximum", "multipleOf", "exclusiveMinimum", "const", "maxLength", "default", "x-step"} {
			wantMistake(t, object(`"a":{"`+keyword+`":`+number+`}`), "/properties/a/"+keyword, "must have")
		}
		wantMistake(t, object(`"a":{"enum":[1,`+number+`]}`), "/properties/a/enum/1", "must have")
	}
	for _, number := range []string{"1e400", "18446744073709551617", "1e16"} {
		for _, keyword := range []string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"} {
			wantMistake(t, object(`"a":{"`+keyword+`":`+number+`}`), "/properties/a/"+keyword, "at most 9007199254740992")
		}
	}
	c := load(t, "things", object(`"a":{"type":"number","minimum":1e-1000,"maximum":1e1000}`))
	if got := c.Validate(value(t, `{"a":0}`)); len(got) != 1 || len(got[0].Detail) > 100 {
		t.Errorf("got %v, want one short violation", got)
	}
}

func TestNamesOfParametersAreReserved(t *testing.T) {
	for _, name := range []string{"after", "at", "count", "fields", "limit", "live", "offset", "previous", "q", "sort", "Count", "LIMIT"} {
		for _, kind := range []string{`"string"`, `"integer"`, `["boolean","null"]`} {
			wantMistake(t, object(`"`+name+`":{"type":`+kind+`}`), "/properties/"+name, "parameter of lists", "rename")
		}
		for _, schema := range []string{`{"type":"array"}`, `{"type":"object"}`, `true`, `{"allOf":[{"type":"string"}]}`} {
			if wrong := loadError(t, map[string]string{"things.json": object(`"` + name + `":` + schema + `,"a":{"properties":{"count":{"type":"integer"}}}`)}); wrong != nil {
				t.Errorf("%s as %s: got %v, want it loaded", name, schema, wrong)
			}
		}
	}
}

// An error names each file that resembles a collection but would not be read.
func TestFilesThatAreNoCollections(t *testing.T) {
	for _, name := range []string{"todos.yaml", "todos.yml", "todos.YML", "todos.JSON", "todos.Json", "todos.jsonc", "todos.json5", "todos.json.txt", "todos.schema", "todos.toml", "todos.ndjson"} {
		wrong := loadError(t, map[string]string{name: `{"title":"todos","type":"object"}`})
		if wrong == nil || filepath.Base(wrong.File) != name || wrong.Reason == "" {
			t.Errorf("%s: got %v, want it rejected", name, wrong)
		}
	}
	dir := folder(t, map[string]string{".todos.json.swp": "x", ".hidden.json": "x", "README.md": "x", "notes.txt": "x", "todos.json.bak": "x", "todos.json~": "x", "LICENSE": "x", "todos.json": `{"title":"todos","type":"object"}`})
	if err := os.Mkdir(filepath.Join(dir, "archive"), 0o700); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range set.All() {
		names = append(names, c.Name())
	}
	if want := []string{"todos", "users"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if err := os.Mkdir(filepath.Join(dir, "more.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := collections.Load(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder named more.json: got %v, want it rejected", err)
	}
}
