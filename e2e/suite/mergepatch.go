package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// mergePatches lists all test cases of RFC 7396, appendix A, in the order of the appendix: a
// document, a patch, and the result.
var mergePatches = []struct{ original, patch, result string }{
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
}

// patches tests PATCH with the cases of the appendix. It tests each case as a member of any
// type, where the result null means that the member is removed. It also tests each case as a
// whole body, where a patch that is not an object would make the entity invalid.
func patches(t *testing.T, target Target) {
	for _, c := range mergePatches {
		t.Run(c.original+" "+c.patch, func(t *testing.T) {
			body := fmt.Sprintf(`{"sku":%q,"name":"Tea","price":1,"attributes":%s}`, SKU(), c.original)
			path := target.Do(t, "POST", "/products", body).Want(t, 201).Header.Get("Location")
			const kind = "Content-Type: application/merge-patch+json"
			if !bytes.HasPrefix([]byte(c.patch), []byte("{")) {
				target.Do(t, "PATCH", path, c.patch, kind).Problem(t, 422, "invalid-document")
				if got := target.attributes(t, path); got != c.original {
					t.Errorf("after a rejected patch: got %s, want the unchanged %s", got, c.original)
				}
			}
			answer := target.Do(t, "PATCH", path, `{"attributes":`+c.patch+`}`, kind).Want(t, 200)
			want := c.result
			if want == "null" {
				want = ""
			}
			if got := target.attributes(t, path); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if read := target.Do(t, "GET", path, "").Want(t, 200); !bytes.Equal(read.Body, answer.Body) {
				t.Errorf("read: got %[2]s, want the answer to the patch, %[1]s", answer.Body, read.Body)
			}
		})
	}
}

// attributes returns the attributes of a product as its document has them. It returns an empty
// string if there are none.
func (target Target) attributes(t *testing.T, path string) string {
	t.Helper()
	var product struct{ Attributes json.RawMessage }
	if err := json.Unmarshal(target.Do(t, "GET", path, "").Want(t, 200).Body, &product); err != nil {
		t.Fatal(err)
	}
	return string(product.Attributes)
}
