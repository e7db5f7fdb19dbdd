package collections_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
)

const orders = `{"title":"things","type":"object","required":["state"],"additionalProperties":false,
	"properties":{
		"z":{"type":["integer","null"],"default":1.50e1},
		"state":{"default":"open","type":"string"},
		"a":{"type":"object","properties":{"city":{"type":"string"},"country":{"$ref":"#/$defs/country"}}},
		"lines":{"type":"array","prefixItems":[{"type":"object"}],"items":{"$ref":"#/$defs/line"}},
		"box":{"default":{"w" : 1, "h":[ 2 ]},"type":"object","properties":{"d":{"default":3}}}},
	"$defs":{
		"country":{"type":"string","default":"DE"},
		"line":{"type":"object","allOf":[{"properties":{"count":{"type":"integer","default":1}}}],
			"properties":{"child":{"$ref":"#/$defs/line"}}}}}`

func complete(t testing.TB, c *collections.Collection, body string) string {
	t.Helper()
	d, err := document.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if d, err = c.Complete(d, 0); err != nil {
		t.Fatalf("%s: got %v, want no error", body, err)
	}
	if d.Value() == nil {
		t.Fatalf("%s: got a document without a value, want one with a value", body)
	}
	return string(d.Bytes())
}

func TestDefaults(t *testing.T) {
	c := load(t, "things", orders)
	const box = `"box":{"w":1,"h":[2],"d":3}`
	for body, want := range map[string]string{
		`{}`:                                     `{"z":1.50e1,"state":"open",` + box + `}`,
		`{"z":null,"state":"","box":{"d":null}}`: `{"z":null,"state":"","box":{"d":null}}`,
		`{"box":{},"state":"x"}`:                 `{"box":{"d":3},"state":"x","z":1.50e1}`,
		`{"z":0,"state":"x","box":{"d":0},"a":{}}`:                                             `{"z":0,"state":"x","box":{"d":0},"a":{"country":"DE"}}`,
		`{"z":0,"state":"x","box":{"d":0},"a":[]}`:                                             `{"z":0,"state":"x","box":{"d":0},"a":[]}`,
		`{"z":0,"state":"x","box":{"d":0},"lines":[{},{},{"count":2,"child":{"child":{}}},7]}`: `{"z":0,"state":"x","box":{"d":0},"lines":[{},{"count":1},{"count":2,"child":{"child":{"count":1},"count":1}},7]}`,
	} {
		if got := complete(t, c, body); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
		if got := complete(t, c, want); got != want {
			t.Errorf("%s: got %s, want it unchanged", want, got)
		}
	}
	plain := load(t, "things", things)
	if got := complete(t, plain, `{"code":"ab"}`); got != `{"code":"ab"}` {
		t.Errorf("a schema without defaults: got %s, want the document unchanged", got)
	}
}

// The schemas have an $id at the root, defaults in several places that apply, and unusual names.
func TestDefaultsOfUnusualSchemas(t *testing.T) {
	for schema, want := range map[string]string{
		`{"$id":"https://example.com/t","title":"things","type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"default":1}}}`:             `{"a":1}`,
		`{"title":"things","type":"object","allOf":[{"properties":{"b":{"default":2}}}],"properties":{"a":{"default":1,"allOf":[{"type":"integer"}]}}}`:    `{"a":1,"b":2}`,
		`{"title":"things","type":"object","properties":{"a/b":{"default":1},"c d":{"default":"é"},"e%f":{"default":false},"default":{"default":[null]}}}`: `{"a/b":1,"c d":"é","e%f":false,"default":[null]}`,
	} {
		if got := complete(t, load(t, "things", schema), `{}`); got != want {
			t.Errorf("%s: got %s, want %s", schema, got, want)
		}
	}
}

// A default that would have no effect, or be harmful, is rejected when the schema is loaded.
func TestDefaultsThatAreRefused(t *testing.T) {
	wantMistake(t, object(`"a":{"type":"integer","default":"x"}`), "/properties/a/default", "violates the schema of its own property: must be an integer")
	wantMistake(t, object(`"a":{"type":"object","required":["b"],"default":{}}`), "/properties/a/default/b", "is required")
	wantMistake(t, object(`"a":{"$ref":"#/$defs/a"}`)[:len(object(`"a":{"$ref":"#/$defs/a"}`))-1]+`,"$defs":{"a":{"type":"string","maxLength":1,"default":"xx"}}}`, "/$defs/a/default", "at most 1 character")
	wantMistake(t, object(`"a":{"default":{},"$ref":"#"}`), "/properties/a/default", "is endless")
	wantMistake(t, object(`"a":{"default":[{},{}],"items":{"$ref":"#"}}`), "/properties/a/default", "is endless")
	wantMistake(t, `{"title":"things","type":"object","default":{}}`, "/default", "would be ignored")
	wantMistake(t, object(`"a":{"type":"array","items":{"default":1}}`), "/properties/a/items/default", "would be ignored")
	wantMistake(t, object(`"a":{"anyOf":[{"default":1}]}`), "/properties/a/anyOf/0/default", "would be ignored")
	wantMistake(t, object(`"a":{"additionalProperties":{"default":1}}`), "/properties/a/additionalProperties/default", "would be ignored")
	wantMistake(t, `{"title":"things","type":"object","oneOf":[{"properties":{"a":{"default":1}}}]}`, "/oneOf/0/properties/a/default", "would be ignored")
}

// Large defaults for many small items must not exhaust memory.
func TestDefaultsAreBounded(t *testing.T) {
	c := load(t, "things", object(`"l":{"items":{"properties":{"s":{"default":"`+strings.Repeat("x", 1000)+`"}}}}`))
	d, err := document.Parse([]byte(`{"l":[` + strings.Repeat("{},", 1000) + `{}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Complete(d, 1<<20); !errors.Is(err, nil) {
		t.Errorf("within bounds: got %v, want no error", err)
	}
	if _, err := c.Complete(d, 1<<19); !errors.Is(err, collections.ErrDefaultsTooLarge) {
		t.Errorf("got %v, want %v", err, collections.ErrDefaultsTooLarge)
	}
}
