package document_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/document"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"order is kept":           {`{ "z": 1, "a" : [ 1 , {"y":2, "x":3} ] }`, `{"z":1,"a":[1,{"y":2,"x":3}]}`},
		"numbers are kept":        {`{"a":1.50,"b":1e400,"c":-0,"d":123456789012345678901234567890}`, `{"a":1.50,"b":1e400,"c":-0,"d":123456789012345678901234567890}`},
		"the server's members go": {`{"id":"x","version":3,"created_at":1,"updated_at":{"a":[]},"name":"n"}`, `{"name":"n"}`},
		"only those at the top":   {`{"a":{"id":"x","version":1}}`, `{"a":{"id":"x","version":1}}`},
		"nothing is left":         {`{"id":"x"}`, `{}`},
		"empty":                   {` {} `, `{}`},
		"64 levels":               {nest(64), nest(64)},
		"escapes are kept":        {`{"a":"\u0000\n\/"}`, `{"a":"\u0000\n\/"}`},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := document.Parse([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(d.Bytes()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if err := document.Check(d.Bytes()); err != nil {
				t.Errorf("the check of the parsed document: got %v, want no error", err)
			}
		})
	}
}

func nest(levels int) string {
	return strings.Repeat(`{"a":`, levels-1) + `{}` + strings.Repeat(`}`, levels-1)
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"nothing":                 {"", document.ErrSyntax},
		"truncated":               {`{"a":`, document.ErrSyntax},
		"trailing comma":          {`{"a":1,}`, document.ErrSyntax},
		"two values":              {`{} {}`, document.ErrSyntax},
		"two scalars":             {`1 2`, document.ErrSyntax},
		"a member twice":          {`{"a":1,"a":2}`, document.ErrSyntax},
		"a member twice, escaped": {`{"a":1,"\u0061":2}`, document.ErrSyntax},
		"an id twice":             {`{"id":1,"id":2}`, document.ErrSyntax},
		"a member twice within":   {`{"b":[{"a":1,"a":2}]}`, document.ErrSyntax},
		"bad UTF-8":               {"{\"a\":\"\xff\"}", document.ErrSyntax},
		"a lone surrogate":        {`{"a":"\ud800"}`, document.ErrSyntax},
		"a byte order mark":       {"\xef\xbb\xbf{}", document.ErrSyntax},
		"a comment":               {`{/**/}`, document.ErrSyntax},
		"NaN":                     {`{"a":NaN}`, document.ErrSyntax},
		"array":                   {`[]`, document.ErrNotObject},
		"string":                  {`"a"`, document.ErrNotObject},
		"null":                    {`null`, document.ErrNotObject},
		"65 levels":               {nest(65), document.ErrTooDeep},
		"65 levels under the id":  {`{"id":` + nest(64) + `}`, document.ErrTooDeep},
		"arrays too deep":         {`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, document.ErrTooDeep},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := document.Parse([]byte(c.body)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err := document.Check([]byte(c.body)); err == nil {
				t.Error("got no error from the check, want one")
			}
		})
	}
}

func TestID(t *testing.T) {
	d, err := document.Parse([]byte(`{"id":"x","a":1}`))
	if id, given := d.ID(); err != nil || id != "x" || !given {
		t.Errorf("got %v, %v, %v, want the id x", id, given, err)
	}
	if d, err = document.Parse([]byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, given := d.ID(); given {
		t.Error("got an id of a document without one, want none")
	}
	if want := map[string]any{"a": json.Number("1")}; !reflect.DeepEqual(d.Value(), want) {
		t.Errorf("got %v, want %v", d.Value(), want)
	}
}

func TestCheckRefusesServerMembers(t *testing.T) {
	for _, name := range []string{"id", "version", "created_at", "updated_at", `\u0069d`} {
		if err := document.Check([]byte(`{"a":1,"` + name + `":1}`)); !errors.Is(err, document.ErrServerMember) {
			t.Errorf("%s: got %v, want ErrServerMember", name, err)
		}
	}
}

func TestRender(t *testing.T) {
	for value, want := range map[string]string{
		`{}`:              `{"id":"i","version":7,"created_at":"c","updated_at":"u"}`,
		`{"a":{"b":1}}`:   `{"id":"i","version":7,"created_at":"c","updated_at":"u","a":{"b":1}}`,
		" {\n\"a\": 1 } ": `{"id":"i","version":7,"created_at":"c","updated_at":"u","a": 1}`,
	} {
		if got := string(document.Render("i", 7, "c", "u", []byte(value))); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

// The cases are all those of RFC 7396, appendix A.
func TestMergePatchAppendixA(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := document.MergePatch([]byte(c.target), []byte(c.patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s: got %s, %v, want %s", c.target, c.patch, got, err, c.want)
		}
	}
}

func TestMerge(t *testing.T) {
	target, err := document.Parse([]byte(`{"z":1,"a":{"x":1,"y":2},"k":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := document.Merge(target, []byte(`{"version":9,"a":{"x":null,"w":3},"b":true,"z":null}`))
	if err != nil || string(got.Bytes()) != `{"a":{"y":2,"w":3},"k":[1],"b":true}` {
		t.Errorf("got %s, %v, want the members merged in order", got.Bytes(), err)
	}
	if string(target.Bytes()) != `{"z":1,"a":{"x":1,"y":2},"k":[1]}` {
		t.Errorf("got the target %s, want it unchanged", target.Bytes())
	}
	if _, err := document.Merge(target, []byte(`[]`)); !errors.Is(err, document.ErrNotObject) {
		t.Errorf("an array: got %v, want ErrNotObject", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `{"id":"x","a":[1,{"b":null}]}`, `{"a":"\ud83d\ude00"}`, `[]`, `{"a":1e5,"b":-0.10,"c":true,"d":false,"e":null,"f":"\"\u00e4\ud83d\ude00\/","\u0067":{"h":[1.0,"\n"]}}`, nest(64), nest(65)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := document.Parse(body)
		if err != nil {
			if document.Check(body) == nil {
				t.Fatalf("got no error from the check, want one like %v from Parse", err)
			}
			return
		}
		if !json.Valid(body) || !json.Valid(d.Bytes()) {
			t.Fatal("got a document that encoding/json rejects, want valid JSON")
		}
		if err := document.Check(d.Bytes()); err != nil {
			t.Fatalf("the check of the parsed document: got %v, want no error", err)
		}
		var value map[string]any
		decoder := json.NewDecoder(bytes.NewReader(d.Bytes()))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil || !reflect.DeepEqual(d.Value(), value) {
			t.Fatalf("got the value %#v, want %#v, %v", d.Value(), value, err)
		}
		again, err := document.Parse(d.Bytes())
		if err != nil || string(again.Bytes()) != string(d.Bytes()) {
			t.Fatalf("parsed again: got %s, %v, want %s", again.Bytes(), err, d.Bytes())
		}
	})
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1}}`), []byte(`{"a":{"b":null,"c":2}}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		d, err := document.Parse(target)
		if err != nil {
			return
		}
		once, err := document.Merge(d, patch)
		if err != nil {
			return
		}
		twice, err := document.Merge(once, patch)
		if err != nil || string(once.Bytes()) != string(twice.Bytes()) {
			t.Fatalf("merged twice: got %s, %v, want %s as after once", twice.Bytes(), err, once.Bytes())
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	small := []byte(`{"name":"Ada Lovelace","email":"ada@example.com","age":36,"tags":["a","b"],"address":{"city":"London"}}`)
	for b.Loop() {
		if err := document.Check(small); err != nil {
			b.Fatal(err)
		}
	}
}
