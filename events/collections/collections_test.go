package collections_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
)

func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t testing.TB, name, schema string) *collections.Collection {
	t.Helper()
	set, err := collections.Load(folder(t, map[string]string{name + ".json": schema}))
	if err != nil {
		t.Fatal(err)
	}
	c, ok := set.Get(name)
	if !ok {
		t.Fatalf("got no collection %s, want it loaded", name)
	}
	return c
}

func value(t testing.TB, body string) map[string]any {
	t.Helper()
	d, err := document.ParseStored([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return d.Value()
}

const things = `{"title":"things","type":"object","required":["code"],"additionalProperties":false,"properties":{
	"code":{"type":"string","minLength":2,"maxLength":3,"x-unique":true},
	"alias":{"type":["string","null"],"x-unique":"nocase"},
	"n":{"type":"integer","minimum":1,"maximum":1e9,"x-unique":true,"x-index":true},
	"price":{"type":"number","exclusiveMinimum":0.5,"multipleOf":0.25},
	"on":{"type":"boolean","x-index":true},
	"size":{"enum":["s","m"]},
	"site":{"type":"string","format":"uri"},
	"tags":{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":2,"uniqueItems":true},
	"box":{"type":"object","properties":{"w":{"type":"integer"}},"required":["w"]}}}`

func TestUsersIsBuiltIn(t *testing.T) {
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	users, ok := set.Get("users")
	if !ok || len(set.All()) != 1 {
		t.Fatalf("got %v, want only users", set.All())
	}
	want := []collections.Property{{Name: "email", Type: "string", Format: "email", Unique: true, NoCase: true}, {Name: "name", Type: "string"}}
	if !reflect.DeepEqual(users.Properties(), want) {
		t.Errorf("got %+v, want %+v", users.Properties(), want)
	}
}

func TestProperties(t *testing.T) {
	want := []collections.Property{
		{Name: "alias", Type: "string", Nullable: true, Unique: true, NoCase: true},
		{Name: "code", Type: "string", Unique: true},
		{Name: "n", Type: "integer", Unique: true, Index: true},
		{Name: "on", Type: "boolean", Index: true},
		{Name: "price", Type: "number"},
		{Name: "site", Type: "string", Format: "uri"},
	}
	if got := load(t, "things", things).Properties(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestValidate(t *testing.T) {
	c := load(t, "things", things)
	for body, want := range map[string][]collections.Violation{
		`{"code":"ab"}`:                       nil,
		`{"code":"ab","alias":null,"n":1.0}`:  nil,
		`{}`:                                  {{"/code", "is required"}},
		`{"code":1}`:                          {{"/code", "must be a string"}},
		`{"code":"a"}`:                        {{"/code", "must have at least 2 characters"}},
		`{"code":"abcd"}`:                     {{"/code", "must have at most 3 characters"}},
		`{"code":"ab","alias":1}`:             {{"/alias", "must be a string or null"}},
		`{"code":"ab","n":0}`:                 {{"/n", "must be at least 1"}},
		`{"code":"ab","n":1e400}`:             {{"/n", "must be at most 1000000000"}},
		`{"code":"ab","n":1.5}`:               {{"/n", "must be an integer"}},
		`{"code":"ab","price":0.5}`:           {{"/price", "must be greater than 0.5"}},
		`{"code":"ab","price":0.6}`:           {{"/price", "must be a multiple of 0.25"}},
		`{"code":"ab","on":"yes"}`:            {{"/on", "must be a boolean"}},
		`{"code":"ab","size":"l"}`:            {{"/size", "must be one of s, m"}},
		`{"code":"ab","site":"not a uri"}`:    {{"/site", "is not a valid uri"}},
		`{"code":"ab","tags":[]}`:             {{"/tags", "must have at least 1 item"}},
		`{"code":"ab","tags":["a","a"]}`:      {{"/tags", "has the same item at 0 and 1"}},
		`{"code":"ab","tags":["a",2]}`:        {{"/tags/1", "must be a string"}},
		`{"code":"ab","box":{}}`:              {{"/box/w", "is required"}},
		`{"code":"ab","a/b":1,"z":2}`:         {{"/a~1b", "is not a declared member"}, {"/z", "is not a declared member"}},
		`{"code":"a","n":"1","tags":["a",1]}`: {{"/code", "must have at least 2 characters"}, {"/n", "must be an integer"}, {"/tags/1", "must be a string"}},
	} {
		if got := c.Validate(value(t, body)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", body, got, want)
		}
	}
}

// Logs contain the hashes, so they must never change.
func TestClaimsNeverChange(t *testing.T) {
	users, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	c, _ := users.Get("users")
	got := c.Claims(value(t, `{"name":"x","email":"John@Example.com"}`))
	if want := []string{"email:hW9ihVkglmVzFbQzL3gzgA"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = load(t, "things", things).Claims(value(t, `{"code":"Ab","alias":"STRASSE","n":7}`))
	if want := []string{"alias:8J5p-g3OnKG7ucPTzr_5xw", "code:T906g8MfdHd31TQuMhjN-w", "n:kCxolNcjgf0rvjoViSZBpA"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = load(t, "things", things).Claims(value(t, `{"code":"xy","alias":"ΆΙ Ꭰ Ǆ ﬃ Å"}`))
	if want := []string{"alias:S0-vtnNC4aN1dw1wjluC-w", "code:AcAswlG7zgpwBLIp2NXMpg"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestClaims(t *testing.T) {
	c := load(t, "things", things)
	same := func(a, b string, want bool) {
		t.Helper()
		if got := reflect.DeepEqual(c.Claims(value(t, a)), c.Claims(value(t, b))); got != want {
			t.Errorf("%s and %s: got the same claims %v, want %v", a, b, got, want)
		}
	}
	same(`{"code":"ab"}`, `{"code":"AB"}`, false)
	same(`{"alias":"straße"}`, `{"alias":"STRASSE"}`, true)
	same(`{"alias":"ÅNGSTRÖM"}`, `{"alias":"a\u030angstro\u0308m"}`, true)
	same(`{"alias":"ᎠᎡᏰ"}`, `{"alias":"ꭰꭱᏸ"}`, true) // Cherokee
	same(`{"alias":"\u1fb3\u0360"}`, `{"alias":"\u0391\u0360\u0345"}`, true)
	same(`{"code":"ᎠᎡ"}`, `{"code":"ꭰꭱ"}`, false)
	same(`{"code":"é"}`, `{"code":"e\u0301"}`, true)
	same(`{"n":1}`, `{"n":1.0}`, true)
	same(`{"n":100}`, `{"n":1e2}`, true)
	same(`{"n":1}`, `{"n":2}`, false)
	same(`{"n":1e999999999}`, `{"n":1e999999998}`, false)
	same(`{"alias":null}`, `{}`, true)
	if got := c.Claims(value(t, `{"alias":null,"price":1,"on":true}`)); got != nil {
		t.Errorf("got %v, want none", got)
	}
}

func TestClaimsFollowValues(t *testing.T) {
	c := load(t, "things", things)
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(0, 6, -1).Draw(t, "a"), rapid.StringN(0, 6, -1).Draw(t, "b")
		one, other := c.Claims(map[string]any{"alias": a}), c.Claims(map[string]any{"alias": b})
		if strings.EqualFold(a, b) && !reflect.DeepEqual(one, other) {
			t.Fatalf("%q and %q differ only in case: got the claims %v and %v, want the same", a, b, one, other)
		}
		if !strings.HasPrefix(one[0], "alias:") {
			t.Fatalf("got %v, want a claim of alias", one)
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	object := func(properties string) string {
		return `{"title":"things","type":"object","properties":{` + properties + `}}`
	}
	for name, c := range map[string]struct{ file, schema, pointer, reason string }{
		"not JSON":                {"things", `{`, "", "not valid JSON"},
		"an empty file":           {"things", ``, "", "not valid JSON"},
		"two schemas":             {"things", `{} {}`, "", "unexpected content after the schema"},
		"bad syntax within":       {"things", `{"properties":{"a":{"type":string}}}`, "/properties/a/type", "not valid JSON"},
		"a member twice":          {"things", object(`"a":{"type":"string"},"a":{"type":"integer"}`), "/properties/a", "duplicate"},
		"a name with a dot":       {"my.things", object(``), "", "does not match [a-z][a-z0-9_]*"},
		"a name too long":         {strings.Repeat("x", 64), object(``), "", "does not match [a-z][a-z0-9_]*"},
		"reserved for the API":    {"openapi", `{"title":"openapi","type":"object"}`, "", "reserved"},
		"reserved for us":         {"clusterlite", `{"title":"clusterlite","type":"object"}`, "", "reserved"},
		"the document's column":   {"things", object(`"Doc":{"type":"integer"}`), "/properties/Doc", "whole document"},
		"too many columns":        {"things", object(manyProperties(1001)), "/properties", "1000"},
		"properties is a list":    {"things", `{"title":"things","type":"object","properties":[]}`, "/properties", "must be an object"},
		"a bad pattern":           {"things", object(`"a":{"type":"string","pattern":"("}`), "/properties/a/pattern", "regex"},
		"a bad nested schema":     {"things", object(`"a":{"type":"array","items":{"minLength":-1}}`), "/properties/a/items/minLength", "at least 0"},
		"a reference to nowhere":  {"things", object(`"a":{"anyOf":[true,{"$ref":"#/$defs/b"}]}`), "/properties/a/anyOf/1/$ref", "$defs/b"},
		"not an object":           {"things", `[]`, "", "a schema must be a JSON object"},
		"another title":           {"things", `{"title":"other","type":"object"}`, "/title", "must be the file's name"},
		"no type":                 {"things", `{"title":"things"}`, "/type", `must be "object"`},
		"upper case":              {"Things", object(``), "", "does not match [a-z][a-z0-9_]*"},
		"reserved for the store":  {"clusterlite_keys", `{"title":"clusterlite_keys","type":"object"}`, "", "reserved"},
		"reserved":                {"docs", `{"title":"docs","type":"object"}`, "", "reserved"},
		"reserved for feeds":      {"changes", `{"title":"changes","type":"object"}`, "", "reserved"},
		"reserved for models":     {"models", `{"title":"models","type":"object"}`, "", "reserved"},
		"SQLite's":                {"sqlite_x", `{"title":"sqlite_x","type":"object"}`, "", "reserved"},
		"a server's member":       {"things", object(`"id":{"type":"string"}`), "/properties/id", "is set by the server"},
		"an underscore":           {"things", object(`"_x":{"type":"string"}`), "/properties/_x", "reserved"},
		"columns alike":           {"things", object(`"a":{"type":"string"},"A":{"type":"string"}`), "/properties/a", "differs"},
		"unique, badly":           {"things", object(`"a":{"type":"string","x-unique":"yes"}`), "/properties/a", "x-unique must be"},
		"nocase on a number":      {"things", object(`"a":{"type":"integer","x-unique":"nocase"}`), "/properties/a", "for strings"},
		"unique on a fraction":    {"things", object(`"a":{"type":"number","x-unique":true}`), "/properties/a", "strings and integers"},
		"unique on an array":      {"things", object(`"a":{"type":"array","x-unique":true}`), "/properties/a", "scalar"},
		"index on two types":      {"things", object(`"a":{"type":["string","integer"],"x-index":true}`), "/properties/a", "scalar"},
		"index, badly":            {"things", object(`"a":{"type":"string","x-index":1}`), "/properties/a", "x-index must be"},
		"search, badly":           {"things", object(`"a":{"type":"string","x-search":"yes"}`), "/properties/a", "x-search must be"},
		"search of numbers":       {"things", object(`"a":{"type":"integer","x-search":true}`), "/properties/a", "x-search is only for strings"},
		"index on an odd name":    {"things", object(`"a b":{"type":"string","x-index":true}`), "/properties/a b", "letters"},
		"misspelt":                {"things", object(`"a":{"type":"string","x-uniqe":true}`), "/properties/a/x-uniqe", "unknown keyword"},
		"ours in the wrong place": {"things", object(`"a":{"type":"object","properties":{"b":{"x-unique":true}}}`), "/properties/a/properties/b/x-unique", "unknown keyword"},
		"not a schema":            {"things", object(`"a":{"type":"text"}`), "/properties/a/type", ""},
		"from outside":            {"things", object(`"a":{"$ref":"https://example.com/a.json"}`), "/properties/a/$ref", "$defs"},
		"no such item":            {"things", object(`"a":{"anyOf":[true]},"b":{"$ref":"#/properties/a/anyOf/1"}`), "/properties/b/$ref", "anyOf/1"},
		"from a file":             {"things", object(`"a":{"$ref":"file:///etc/passwd"}`), "/properties/a/$ref", "$defs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := collections.Load(folder(t, map[string]string{c.file + ".json": c.schema}))
			var wrong *collections.FileError
			if !errors.As(err, &wrong) {
				t.Fatalf("got %v, want a FileError", err)
			}
			if filepath.Base(wrong.File) != c.file+".json" || wrong.Pointer != c.pointer || !strings.Contains(wrong.Error(), c.reason) {
				t.Errorf("got %v (pointer %q), want %q at %q", wrong, wrong.Pointer, c.reason, c.pointer)
			}
		})
	}
}

func manyProperties(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"p%d":{"type":"string"}`, i)
	}
	return strings.Join(all, ",")
}

// A property that can't be a column is still a declared member.
func TestMembersThatAreNoColumns(t *testing.T) {
	c := load(t, "things", `{"title":"things","type":"object","properties":{"doc":{"type":"object"},"a b":{"type":"string"},"any":true,"both":{"type":["string","integer"]},"n":{"type":"integer"}}}`)
	if got := c.Properties(); len(got) != 1 || got[0].Name != "n" {
		t.Errorf("got %+v, want only n", got)
	}
	if names, open := c.Members(); len(names) != 5 || !open {
		t.Errorf("got %v, open %v, want 5 members, open true", names, open)
	}
}

func TestLoadReportsAllInvalidFiles(t *testing.T) {
	_, err := collections.Load(folder(t, map[string]string{"a.json": `{`, "b.json": `[]`, "c.txt": `not ours`}))
	if err == nil || !strings.Contains(err.Error(), "a.json") || !strings.Contains(err.Error(), "b.json") || strings.Contains(err.Error(), "c.txt") {
		t.Errorf("got %v, want errors for a.json and b.json only", err)
	}
	if _, err := collections.Load(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing folder: got no error, want one")
	}
}

func TestNamesFitTheLog(t *testing.T) {
	set, err := collections.Load(folder(t, map[string]string{"things.json": things}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range set.All() {
		if !events.ValidCollection(c.Name()) {
			t.Errorf("%s: got a name that the log rejects, want a valid one", c.Name())
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(things))
	f.Add([]byte(`{"title":"things","type":"object","properties":{"a":{"$ref":"#/properties/a"}}}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		set, err := collections.Load(folder(t, map[string]string{"things.json": string(schema)}))
		if err != nil {
			return
		}
		c, _ := set.Get("things")
		c.Claims(map[string]any{"code": "x"})
	})
}

func BenchmarkValidate(b *testing.B) {
	set, err := collections.Load("")
	if err != nil {
		b.Fatal(err)
	}
	c, _ := set.Get("users")
	v := value(b, `{"name":"Ada Lovelace","email":"ada@example.com"}`)
	b.ReportAllocs()
	for b.Loop() {
		if c.Validate(v) != nil || len(c.Claims(v)) != 1 {
			b.Fatal("got an invalid document, want it valid with one claim")
		}
	}
}
