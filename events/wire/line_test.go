package wire_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// lineSamples are events whose lines must stay as they are, with documents that a JSON
// library would write in another way.
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
			want := goldenFile(t, filepath.Join("..", "testdata", "lines-1", name+".json"), got)
			read, err := wire.ParseLine(bytes.TrimSuffix(want, []byte("\n")))
			if diff := cmp.Diff(event, read); err != nil || diff != "" {
				t.Errorf("the stored line is read as %+v, %v\n%s", read, err, diff)
			}
			if !json.Valid(got) || bytes.Count(got, []byte("\n")) != 1 {
				t.Errorf("not one line of JSON: %s", got)
			}
		})
	}
}

// A source that is no text is no obstacle, and what was made of it stays.
func TestLineOfNoText(t *testing.T) {
	e := full()
	e.Source = "/x\xff"
	line := wire.AppendLine(nil, e)
	read, err := wire.ParseLine(line)
	if err != nil || read.Source != "/x\uFFFD" {
		t.Fatalf("got %q, %v", read.Source, err)
	}
	if again := wire.AppendLine(nil, read); !bytes.Equal(again, line) {
		t.Errorf("then %s", again)
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
			t.Fatalf("no %s in %s", old, good)
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
		replace(`"format":"1"`, `"format":"2"`):                                           "supports format 2",
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
			t.Errorf("%s\n%v, want %q", bad, err, says)
		}
	}
}

// Whatever is taken as a line is written again with the same bytes.
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
			t.Errorf("%s\nis written again as\n%s", line, again)
		}
		if bytes.ContainsAny(line, "\n") || !json.Valid(line) {
			t.Errorf("not a line of JSON: %q", line)
		}
	})
}
