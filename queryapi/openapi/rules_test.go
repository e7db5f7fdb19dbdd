package openapi_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi/openapi"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
)

// The description says which operations rules may deny, which need no credentials, and which
// members only the server sets. It does not show the rules.
func TestRulesAreDescribed(t *testing.T) {
	dir := t.TempDir()
	schema := `{"title":"notes","type":"object","x-access":{"read":"old.open || old.owner == auth.sub","create":"auth != null"},
		"required":["owner","text"],"properties":{"owner":{"type":"string","x-default":"auth.sub"},"text":{"type":"string"},"open":{"type":"boolean"}}}`
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := access.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openapi.Describe(set, "v", true, policies)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b); strings.Contains(text, "old.open") || strings.Contains(text, "x-access") || strings.Contains(text, "auth.sub") {
		t.Error("the description shows the rules")
	}
	var d struct {
		Paths map[string]map[string]struct {
			Responses map[string]any
			Security  []map[string][]string
		}
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]struct{ ReadOnly bool }
			}
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]bool{"get": true, "put": false, "patch": false, "delete": false} {
		op := d.Paths["/notes/{id}"][method]
		if _, has := op.Responses["403"]; !has {
			t.Errorf("%s: got no response 403, want one", method)
		}
		if open := len(op.Security) == 2; open != want {
			t.Errorf("%s: got security %v, want it to be optional: %t", method, op.Security, want)
		}
	}
	if _, has := d.Paths["/users"]["get"].Responses["403"]; has {
		t.Error("a collection without rules: got a response 403, want none")
	}
	for name, want := range map[string][]string{"notes_document": {"text"}, "notes": {"owner", "text", "id", "version", "created_at", "updated_at"}} {
		s := d.Components.Schemas[name]
		if !slices.Equal(s.Required, want) || !s.Properties["owner"].ReadOnly || s.Properties["text"].ReadOnly {
			t.Errorf("%s: got %+v, want %q required and only owner read-only", name, s, want)
		}
	}
	again, err := openapi.Describe(set, "v", true, policies)
	if err != nil || string(again) != string(b) {
		t.Errorf("got another description for the same arguments, %v", err)
	}
}
