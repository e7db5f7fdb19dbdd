package openapi_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi/openapi"
)

func load(t testing.TB, description []byte) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		t.Fatalf("got %v, want a valid description:\n%s", err, description)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaPatternValidation()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDescribe(t *testing.T) {
	set, err := collections.Load("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	b, err := openapi.Describe(set, "v1.2.3", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openapi.Describe(set, "v1.2.3", false, nil)
	if err != nil || !bytes.Equal(b, again) {
		t.Error("got two descriptions of the same collections, want equal ones")
	}
	doc := load(t, b)
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "v1.2.3" {
		t.Errorf("got OpenAPI %s of version %s, want 3.1.0 of v1.2.3", doc.OpenAPI, doc.Info.Version)
	}
	operations := map[string]bool{}
	for _, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			if operations[o.OperationID] || o.OperationID == "" || o.Summary == "" {
				t.Errorf("%s: got the operation id %q, want an id that occurs once, and a summary", method, o.OperationID)
			}
			operations[o.OperationID] = true
			if o.Responses.Value("503") == nil || o.Responses.Value("400") == nil {
				t.Errorf("%s: got no response 503 or 400, want both", o.OperationID)
			}
		}
	}
	for _, name := range []string{"users", "orders", "products"} {
		for _, o := range []string{"list_", "create_", "get_", "replace_", "patch_", "delete_", "changes_", "versions_", "version_"} {
			if !operations[o+name] {
				t.Errorf("got no operation %s%s, want one", o, name)
			}
		}
	}
	list := doc.Paths.Value("/products").Get
	for _, name := range []string{"sort", "fields", "name", "name[prefix]", "price[gte]", "sold_out", "created_at[lt]", "sku[in]"} {
		if list.Parameters.GetByInAndName("query", name) == nil {
			t.Errorf("got no parameter %s of the list of products, want one", name)
		}
	}
	if list.Parameters.GetByInAndName("query", "price[prefix]") != nil {
		t.Error("got the parameter price[prefix], want none for a number")
	}
	// References within a schema still resolve.
	if line := doc.Components.Schemas["orders"].Value.Properties["lines"].Value.Items.Value; line == nil || line.Properties["sku"] == nil {
		t.Error("got no lines of an order, want lines with a sku")
	}
}

func TestDescribesWhatCollectionsCanHave(t *testing.T) {
	for name, schema := range map[string]string{
		"plain":     `{"title":"plain","type":"object"}`,
		"booleans":  `{"title":"booleans","type":"object","properties":{"a":true,"b":false,"limit":{"type":"array"}}}`,
		"recursive": `{"title":"recursive","type":"object","properties":{"next":{"$ref":"#"},"tree":{"$ref":"#/$defs/tree"}},"$defs":{"tree":{"type":"object","properties":{"leaves":{"type":"array","items":{"$ref":"#/$defs/tree"}}}}}}`,
		"choices":   `{"title":"choices","type":"object","oneOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":{"const":1},"b":{"enum":["x",null]},"c":{"type":["string","null"],"if":{"minLength":3},"then":{"pattern":"^x"}}},"patternProperties":{"^y":{"type":"integer"}},"dependentRequired":{"a":["c"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(schema), 0o600); err != nil {
				t.Fatal(err)
			}
			set, err := collections.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			b, err := openapi.Describe(set, "v", false, nil)
			if err != nil || !json.Valid(b) || !strings.Contains(string(b), `"/`+name+`/{id}"`) {
				t.Fatalf("got %v, %s, want a description with the path of the collection", err, b)
			}
			load(t, b)
		})
	}
}
