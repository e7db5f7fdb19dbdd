package collections_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// expression is a schema whose evaluation triples with each level of a document.
const expression = `{"title":"things","type":"object","properties":{"e":{"$ref":"#/$defs/e"}},"$defs":{"e":{"anyOf":[
	{"properties":{"n":{"$ref":"#/$defs/e"}},"required":["a"]},
	{"properties":{"n":{"$ref":"#/$defs/e"}},"required":["b"]},
	{"not":{"properties":{"n":{"$ref":"#/$defs/e"}},"required":["c"]},"type":"integer"},
	{"type":"integer"}]}}}`

func nested(levels int) string {
	return `{"e":` + strings.Repeat(`{"b":1,"n":`, levels) + `1` + strings.Repeat("}", levels) + `}`
}

// The point of this test is that it ends: without a bound, 60 levels would take longer than the
// sun will last.
func TestStepsAreBounded(t *testing.T) {
	c := load(t, "things", expression)
	if got := c.Validate(value(t, nested(3))); got != nil {
		t.Errorf("a shallow document: got %v, want none", got)
	}
	if got := c.Validate(value(t, nested(60))); len(got) != 1 || !strings.Contains(got[0].Detail, "steps") {
		t.Errorf("a deep document: got %v, want a violation about too many steps", got)
	}
	if got := c.Validate(value(t, nested(3))); got != nil {
		t.Errorf("a shallow document afterwards: got %v, want none", got)
	}
}

// The shortcut for valid documents has the same bound: a text of 8 MB takes more steps than a document
// with a single value may.
func TestStepsOfTheShortcutAreBounded(t *testing.T) {
	c := load(t, "things", object(`"s":{"type":"string"}`))
	if got := c.Validate(value(t, `{"s":"`+strings.Repeat("a", 1<<20)+`"}`)); got != nil {
		t.Errorf("a short text: got %v, want none", got)
	}
	if got := c.Validate(value(t, `{"s":"`+strings.Repeat("a", 8<<20)+`"}`)); len(got) != 1 || !strings.Contains(got[0].Detail, "steps") {
		t.Errorf("a long text: got %v, want a violation about too many steps", got)
	}
}

// A large document may take more steps than a small one.
func TestLargeDocumentsMayTakeMoreSteps(t *testing.T) {
	c := load(t, "things", object(`"l":{"items":{"allOf":[{"minimum":0},{"maximum":9},{"multipleOf":1},{"type":"integer"}]}}`))
	if got := c.Validate(value(t, `{"l":[`+strings.Repeat("1,", 100_000)+`1]}`)); got != nil {
		t.Errorf("got %v, want none", got)
	}
}

// The cost of a lookup does not depend on the number of values. Otherwise this test would make
// 10^9 exact comparisons.
func TestEnumIsLookedUp(t *testing.T) {
	var allowed []string
	for i := range 10_000 {
		allowed = append(allowed, fmt.Sprint(i))
	}
	c := load(t, "things", object(`"l":{"items":{"enum":[`+strings.Join(allowed, ",")+`]}}`))
	if got := c.Validate(value(t, `{"l":[`+strings.Repeat("9999,", 100_000)+`9999.0]}`)); got != nil {
		t.Errorf("got %v, want none", got)
	}
	if got := c.Validate(value(t, `{"l":[-1]}`)); len(got) != 1 || got[0].Pointer != "/l/0" || !strings.HasSuffix(got[0].Detail, " or 9980 others") {
		t.Errorf("got %v, want one violation at /l/0 with a short list", got)
	}
}

func TestEqualValues(t *testing.T) {
	c := load(t, "things", object(`"u":{"uniqueItems":true},"e":{"enum":[1,0,-2.5,"1",null,true,[1,[2]],{"a":1,"b":[]},1e1000]}`))
	for body, want := range map[string]int{
		`{"u":[1,2,"1",true,null,"true",[1],[[1]],{"a":1},{"a":2}]}`: 0,
		`{"u":[[[],[[]]],[[[]],[]],[[[[]]]]]}`:                       0,
		`{"u":["a","b",["a","b"],["ab"],{"a":"b"},["a\u0004b"]]}`:    0,
		`{"u":[1,1.0]}`:                         1,
		`{"u":[100,1e2]}`:                       1,
		`{"u":[0,-0]}`:                          1,
		`{"u":[-0.0,0]}`:                        1,
		`{"u":[1,-1]}`:                          0,
		`{"u":[1e1000,10e999]}`:                 1,
		`{"u":[{"a":1,"b":2},{"b":2.0,"a":1}]}`: 1,
		`{"u":[null,0,false,"",[],{}]}`:         0,
		`{"e":1.0}`:                             0,
		`{"e":-0}`:                              0,
		`{"e":-25e-1}`:                          0,
		`{"e":"1"}`:                             0,
		`{"e":null}`:                            0,
		`{"e":[1.0,[2]]}`:                       0,
		`{"e":{"b":[],"a":1}}`:                  0,
		`{"e":10e999}`:                          0,
		`{"e":2.5}`:                             1,
		`{"e":"true"}`:                          1,
		`{"e":false}`:                           1,
		`{"e":[[2],1]}`:                         1,
		`{"e":{"a":1}}`:                         1,
	} {
		if got := c.Validate(value(t, body)); len(got) != want {
			t.Errorf("%s: got %v, want %d violations", body, got, want)
		}
	}
}

// The unmodified library gives the same verdicts.
func TestVerdictsAreTheLibrarys(t *testing.T) {
	scalar := rapid.SampledFrom([]string{`1`, `1.0`, `-1`, `0`, `-0`, `10e-1`, `1e3`, `1000`, `"1"`, `""`, `null`, `true`, `false`, `"a@b.c"`, `"2026-11-26"`})
	var any2 func(depth int) *rapid.Generator[string]
	any2 = func(depth int) *rapid.Generator[string] {
		if depth == 0 {
			return scalar
		}
		return rapid.Custom(func(t *rapid.T) string {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				return `[` + strings.Join(rapid.SliceOfN(any2(depth-1), 0, 4).Draw(t, "items"), ",") + `]`
			case 1:
				return `{"x":` + any2(depth-1).Draw(t, "x") + `,"y":` + any2(depth-1).Draw(t, "y") + `}`
			default:
				return scalar.Draw(t, "scalar")
			}
		})
	}
	rapid.Check(t, func(r *rapid.T) {
		enum := strings.Join(rapid.SliceOfN(any2(2), 1, 5).Draw(r, "enum"), ",")
		member := rapid.SampledFrom([]string{
			`{"enum":[%s]}`, `{"uniqueItems":true}`, `{"items":{"enum":[%s]},"uniqueItems":true}`, `{"not":{"enum":[%s]}}`, `{"anyOf":[{"format":"email","type":"string"},{"enum":[%s]}]}`,
			`{"oneOf":[{"enum":[%s]},{"type":"string","format":"date"},{"uniqueItems":true,"type":"array"}]}`, `{"prefixItems":[{"enum":[%s]}],"unevaluatedItems":false}`,
			`{"type":["string","integer"],"maxLength":1}`, `{"type":"number","minimum":0,"maximum":5}`, `{"type":["null","boolean","array"],"minItems":1,"maxItems":2,"items":{"minimum":1.5}}`,
			`{"type":"object","required":["x"],"additionalProperties":false,"properties":{"x":{"enum":[%s]},"z":{}}}`, `{"properties":{"x":{"type":"integer"},"y":{"type":"array","items":{"enum":[%s]}}}}`,
			`{"type":"string","minLength":1,"format":"email"}`, `{"pattern":"^[a-z@.]+$","format":"date"}`, `{"type":"string","contentEncoding":"base64"}`, `{"minProperties":3}`,
			`{"properties":{"x":{"enum":[%s]}},"unevaluatedProperties":{"type":"integer"}}`, `{"if":{"enum":[%s]},"then":false,"else":{"contains":{"enum":[1]}}}`,
		}).Draw(r, "member")
		if strings.Contains(member, "%s") {
			member = fmt.Sprintf(member, enum)
		}
		schema := object(`"v":` + member)
		body := `{"v":` + any2(3).Draw(r, "value") + `}`
		parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		if err := compiler.AddResource("s:///s", parsed); err != nil {
			t.Fatal(err)
		}
		plain, err := compiler.Compile("s:///s")
		if err != nil {
			r.Skip(err) // an enum contains a value twice
		}
		v := value(t, body)
		got, want := load(t, "things", schema).Validate(v), plain.Validate(v)
		if (got == nil) != (want == nil) {
			r.Fatalf("%s against %s: got %v, want %v", body, schema, got, want)
		}
	})
}

func TestViolationsAreBounded(t *testing.T) {
	c := load(t, "things", object(`"l":{"items":{"type":"integer"}}`))
	got := c.Validate(value(t, `{"l":[`+strings.Repeat(`"x",`, 1000)+`"x"]}`))
	if len(got) != 101 || got[100].Detail != "has 901 more violations, which are not listed" {
		t.Errorf("got %d violations, the last of which is %v, want 100 and a count of the others", len(got), got[len(got)-1])
	}
}

func TestValidateIsConcurrent(t *testing.T) {
	c := load(t, "things", things)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				if got := c.Validate(value(t, `{"code":"ab","n":1}`)); got != nil {
					t.Errorf("got %v, want none", got)
				}
				if got := c.Validate(value(t, `{"code":"ab","n":0}`)); len(got) != 1 {
					t.Errorf("got %v, want one", got)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		load(b, "things", things)
	}
}
