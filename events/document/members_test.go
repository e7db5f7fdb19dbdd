package document_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/clusterlite/clusterlite/events/document"
)

func TestMembers(t *testing.T) {
	for object, want := range map[string][3]string{
		`{}`:                                   {},
		`{"a":1}`:                              {"1"},
		`{"x":{"a":1,"b":"}\""},"b":[1,"]"]}`:  {"", `[1,"]"]`},
		` { "a" : "x\"y" , "c":null ,"b":{} }`: {`"x\"y"`, "{}", "null"},
		`{"\u0061":true,"b":-1.5e3,"c":"é"}`:   {"true", "-1.5e3", `"é"`},
		`{"aa":1,"a":[[],{}],"z":[{"b":2}]}`:   {"[[],{}]"},
		"{\"a\":1\n,\"b\":false\t}":            {"1", "false"},
	} {
		values := []jsontext.Value{jsontext.Value("old"), nil, nil}
		document.Members([]byte(object), []string{"a", "b", "c"}, values)
		for i, w := range want {
			if got := string(values[i]); got != w {
				t.Errorf("%s: member %d: got %s, want %s", object, i, got, w)
			}
		}
	}
}

// Members and Scalar agree with the parser of documents, and never panic.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"x":{"a":[{}]},"\u0061":"\n"}`, `{"b":"}"`, `{"a":`, `{"a"`, `{"`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		names, values := []string{"a", "b"}, make([]jsontext.Value, 2)
		document.Members(object, names, values)
		d, err := document.ParseStored(object)
		if err != nil {
			return
		}
		for i, name := range names {
			want, has := d.Value()[name]
			if has != (values[i] != nil) {
				t.Fatalf("%s: %s: got %s, want it present: %t", object, name, values[i], has)
			}
			if !has {
				continue
			}
			if got, err := document.Scalar(values[i]); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %s: got %v, %v; want %v", object, name, got, err, want)
			}
			if !bytes.Contains(object, values[i]) || !json.Valid(values[i]) {
				t.Fatalf("%s: %s: got %s, want a part of the object", object, name, values[i])
			}
		}
	})
}

// Holds looks at the items of the array itself, and only at texts.
func TestHolds(t *testing.T) {
	for array, want := range map[string]bool{
		`["a"]`: true, `[ "b" , "a" ]`: true, `["\u0061"]`: true, `[1,true,null,{"a":"a"},["a"],"a"]`: true,
		`[]`: false, `[ ]`: false, `["b"]`: false, `[["a"],{"x":"a"}]`: false, `["a]","\"a"]`: false, `["aa",""]`: false,
	} {
		if got := document.Holds([]byte(array), "a"); got != want {
			t.Errorf("%s: got %t, want %t", array, got, want)
		}
	}
}
