package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// lineSamples returns events whose lines must never change. Their documents include some that a
// JSON library would write differently.
func lineSamples() map[string]events.Event {
	all := samples()
	exact := full()
	exact.Document = []byte("{\"z\":1.50e+2,\t \"a\":12345678901234567890,\"s\":\"\\u00e9 \u2028 </script>\"}")
	foreign := full()
	foreign.Source, foreign.Document = "/somebody \"else\"", []byte("{\n  \"name\": \"Ada\"\n}\n")
	all["exact"], all["foreign"] = exact, foreign
	return all
}

func TestGoldenLines(t *testing.T) {
	for name, event := range lineSamples() {
		t.Run(name, func(t *testing.T) {
			got := append(wire.AppendLine(nil, event), '\n')
			want := goldenFile(t, filepath.Join("..", "testdata", fmt.Sprintf("lines-%d", event.Kind.Format()), name+".json"), got)
			read, err := wire.ParseLine(bytes.TrimSuffix(want, []byte("\n")))
			if diff := cmp.Diff(event, read); err != nil || diff != "" {
				t.Errorf("got %+v, %v from the stored line, want the sample (-want +got):\n%s", read, err, diff)
			}
			if !json.Valid(got) || bytes.Count(got, []byte("\n")) != 1 {
				t.Errorf("got %s, want one line of JSON", got)
			}
		})
	}
}

// A source that is not valid UTF-8 is accepted. Its replacement then stays the same.
func TestLineOfInvalidText(t *testing.T) {
	e := full()
	e.Source = "/x\xff"
	line := wire.AppendLine(nil, e)
	read, err := wire.ParseLine(line)
	if err != nil || read.Source != "/x\uFFFD" {
		t.Fatalf("got %q, %v, want %q", read.Source, err, "/x\uFFFD")
	}
	if again := wire.AppendLine(nil, read); !bytes.Equal(again, line) {
		t.Errorf("got %s the second time, want %s", again, line)
	}
}

func TestBadLinesAreRefused(t *testing.T) {
	good := string(wire.AppendLine(nil, full()))
	if _, err := wire.ParseLine([]byte(good)); err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("got no %s in %s, want it", old, good)
		}
		return strings.Replace(good, old, with, 1)
	}
	for bad, says := range map[string]string{
		"":               "",
		"[]":             "not a JSON object",
		"{}":             "ce_specversion",
		good[:20]:        "",
		good + " ":       "canonical form",
		good + "{}":      "unexpected content after",
		" " + good:       "canonical form",
		"{\"id\":1}":     "not a string",
		"{\"nul\":\"\"}": "unknown attribute",
		replace(`"specversion":"1.0"`, `"specversion":"0.3"`):                             "ce_specversion",
		replace(`"entityversion":"3"`, `"entityversion":3`):                               "not a string",
		replace(`"entityversion":"3"`, `"entityversion":"03"`):                            "ce_entityversion",
		replace(`"entityversion":"3"`, `"entityversion":"1"`):                             "updated can't create version 1",
		replace(`"format":"1"`, `"format":"3"`):                                           "supports format 3",
		replace(`"format":"1"`, `"format":"2"`):                                           "ce_format is 2",
		replace(`"format":"1"`, `"format":"x"`):                                           "ce_format",
		replace(`"source":"/cl`, `"source":"\u002fcl`):                                    "canonical form",
		replace(`,"requesthash":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"`, ""):       "together",
		replace(`"datacontenttype":"application/json"`, `"datacontenttype":"a/b"`):        "content-type",
		replace(`{"name":"Jörg","email":"j@example.com"}`, `"x"`):                         "not a JSON object",
		replace(`{"name":"Jörg","email":"j@example.com"}`, `{"id":"x"}`):                  "only the server may set",
		replace(`"data":`, `"more":"x","data":`):                                          "unknown attribute",
		replace(`"data":`, `"data":{},"data":`):                                           "",
		replace(`"data":`, `"data_base64":"e30=","data":`):                                "canonical form",
		replace(`"data":{"name":"Jörg","email":"j@example.com"}`, `"data_base64":"e30="`): "canonical form",
		replace(`"data":{"name":"Jörg","email":"j@example.com"}`, `"data_base64":"e30"`):  "data_base64",
		replace(`"data":{"name":"Jörg","email":"j@example.com"}`, `"data_base64":"!!!!"`): "data_base64",
	} {
		if _, err := wire.ParseLine([]byte(bad)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s\ngot %v, want %q", bad, err, says)
		}
	}
}

// Every line that the parser accepts is written back with the same bytes.
func FuzzParseLine(f *testing.F) {
	for _, e := range lineSamples() {
		f.Add(wire.AppendLine(nil, e))
	}
	f.Add([]byte(`{"specversion":"1.0","data":{"a":[1,{}]}}`))
	f.Add([]byte("{}\n{}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := wire.ParseLine(line)
		if err != nil {
			return
		}
		if again := wire.AppendLine(nil, e); !bytes.Equal(again, line) {
			t.Errorf("got\n%s\nwant\n%s", again, line)
		}
		if bytes.ContainsAny(line, "\n") || !json.Valid(line) {
			t.Errorf("got %q accepted, want only one line of JSON", line)
		}
	})
}
