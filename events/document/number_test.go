package document_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/document"
)

func TestNumbersHaveBounds(t *testing.T) {
	digits := func(n int) string { return strings.Repeat("9", n) }
	for body, pointer := range map[string]string{
		`{"a":1e1000}`:                              "",
		`{"a":-1.5E-1000}`:                          "",
		`{"a":1e+1000}`:                             "",
		`{"a":1e0000000000000000000001}`:            "",
		`{"a":` + digits(1000) + `}`:                "",
		`{"a":-0.` + digits(999) + `e-1000}`:        "",
		`{"a":"1e1000000","1e1000000":"\"1e9999"}`:  "",
		`{"version":1e1000000,"a":1}`:               "", // the server's member, which is dropped
		`{"id":1e1000000,"a":1}`:                    "", // this is not the id of any entity
		`{"a":1e1001}`:                              "/a",
		`{"a":1E-1001}`:                             "/a",
		`{"a":0e1001}`:                              "/a",
		`{"a":1e1000000}`:                           "/a",
		`{"a":1e1000001}`:                           "/a",
		`{"a":1e99999999999999999999}`:              "/a",
		`{"a":` + digits(1001) + `}`:                "/a",
		`{"a":-0.` + digits(1000) + `}`:             "/a",
		`{"a":0.` + strings.Repeat("0", 1000) + `}`: "/a",
		`{"b":[1,{"c/d":[2,1e1001,1e2000]}]}`:       "/b/1/c~1d/1",
		`{"s":"\\","a":1e1001}`:                     "/a",
		`{"":1e1001}`:                               "/",
	} {
		_, err := document.Parse([]byte(body))
		var number *document.NumberError
		switch {
		case pointer == "" && err != nil:
			t.Errorf("%.80s: got %v, want it parsed", body, err)
		case pointer == "":
		case !errors.As(err, &number) || !errors.Is(err, document.ErrNumber):
			t.Errorf("%.80s: got %v, want a number out of bounds", body, err)
		case number.Pointer != pointer:
			t.Errorf("%.80s: got the place %q, want %q", body, number.Pointer, pointer)
		}
	}
}

// Numbers written before bounds existed stay in the log forever. Admission accepts them, and their
// documents can be read and corrected.
func TestStoredNumbersHaveNoBounds(t *testing.T) {
	stored := []byte(`{"a":1e1000000,"b":{"c":` + strings.Repeat("1", 2000) + `},"n":1}`)
	if err := document.Check(stored); err != nil {
		t.Errorf("the check of admission: got %v, want no error", err)
	}
	d, err := document.ParseStored(stored)
	if err != nil || string(d.Bytes()) != string(stored) {
		t.Fatalf("got %s, %v, want the stored document", d.Bytes(), err)
	}
	var number *document.NumberError
	if _, err := document.Merge(d, []byte(`{"a":1}`)); !errors.As(err, &number) || number.Pointer != "/b/c" {
		t.Errorf("one large number left: got %v, want an error at /b/c", err)
	}
	corrected, err := document.Merge(d, []byte(`{"a":1,"b":null}`))
	if err != nil || string(corrected.Bytes()) != `{"a":1,"n":1}` {
		t.Errorf("both numbers corrected: got %s, %v, want %s", corrected.Bytes(), err, `{"a":1,"n":1}`)
	}
	if _, err := document.Merge(corrected, []byte(`{"x":{"y":1e1001}}`)); !errors.As(err, &number) || number.Pointer != "/x/y" {
		t.Errorf("a patch: got %v, want an error at /x/y", err)
	}
}

func TestCheckNumber(t *testing.T) {
	for literal, want := range map[string]bool{"1": true, "1e400": true, "1e1001": false, strings.Repeat("1", 1001): false} {
		if err := document.CheckNumber(literal); (err == nil) != want {
			t.Errorf("%.20s: got %v, want it within bounds: %v", literal, err, want)
		}
	}
}

// FuzzNumbers checks that package big can compute with every number within the bounds.
func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{`[1e1001]`, `{"a":[1.5e-1000]}`, `"1e9999\""`, `-0.0`, `[[],{},1E+5]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) || document.CheckNumbers(body) != nil {
			return
		}
		in := json.NewDecoder(strings.NewReader(string(body)))
		in.UseNumber()
		for {
			token, err := in.Token()
			if err != nil {
				return
			}
			if n, ok := token.(json.Number); ok {
				if document.CheckNumber(string(n)) != nil {
					t.Fatalf("got no error for %s in %s, want one", n, body)
				}
				if _, ok := new(big.Rat).SetString(string(n)); !ok {
					t.Fatalf("got an error of big.Rat for %s, want it accepted", n)
				}
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	body := []byte(`{"name":"Ada Lovelace","email":"ada@example.com","price":12.5,"lines":[{"sku":"A","quantity":1},{"sku":"B","quantity":20}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := document.Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
