package listing

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/projections/query"
)

// Times are those of RFC 3339, section 5.6. The values are the instants, or empty if the text is
// not a time.
func TestTimesAreThoseOfRFC3339(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-24T12:00:00Z": "2026-11-24T12:00:00Z", "2026-11-24t12:00:00z": "2026-11-24T12:00:00Z", "2026-11-24T12:00:00.5Z": "2026-11-24T12:00:00.5Z",
		"2026-11-24T12:00:00.123456789012Z": "2026-11-24T12:00:00.123456789Z", "2026-11-24T12:00:00+02:00": "2026-11-24T10:00:00Z",
		"2026-11-24T12:00:00-23:59": "2026-11-25T11:59:00Z", "2026-11-24T12:00:00-00:00": "2026-11-24T12:00:00Z",
		// These are leap seconds.
		"2016-12-31T23:59:60Z": "2017-01-01T00:00:00Z", "2016-12-31T15:59:60.5-08:00": "2017-01-01T00:00:00.5Z", "2016-12-31T23:58:60Z": "", "2016-12-31T23:59:61Z": "", "2016-12-31T22:59:60Z": "",
		// time.Parse is less strict about these.
		"2026-11-24T1:00:00Z": "", "2026-11-24T12:00:00,5Z": "", "2026-11-24T12:00:00+24:00": "", "2026-11-24T12:00:00+00:60": "", "2026-11-24T24:00:00Z": "",
		"2026-11-24 12:00:00Z": "", "2026-11-24T12:00:00": "", "2026-11-24": "", "2026-02-30T12:00:00Z": "", "2025-02-29T12:00:00Z": "", "2026-11-24T12:00Z": "",
		"2026-11-24T12:00:00.Z": "", "2026-11-24T12:00:00+0200": "", "2026-11-24T12:00:00+02": "", "20261124T120000Z": "", "+2026-11-24T12:00:00Z": "",
		" 2026-11-24T12:00:00Z": "", "2026-11-24T12:00:00Z\n": "", "２026-11-24T12:00:00Z": "", "": "",
	} {
		got, ok := parseRFC3339(text)
		if ok != (want != "") || ok && got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %s, %t, want %q", text, got, ok, want)
		}
	}
}

func TestValuesOfFilters(t *testing.T) {
	words := New(mustGet(t, "products"))
	parse := func(name, text string) (any, error) { return parseValue(words.filters[name], text) }
	for _, c := range []struct {
		name, text string
		want       any // nil for none
		says       string
	}{
		{"stock", "9007199254740993", int64(9007199254740993), ""}, {"stock", "9007199254740993.0", int64(9007199254740993), ""}, {"stock", "9007199254740993e0", int64(9007199254740993), ""},
		{"stock", "90071992547409930E-1", int64(9007199254740993), ""}, {"stock", "-0", int64(0), ""}, {"stock", "1e3", int64(1000), ""}, {"stock", "0e1000", int64(0), ""},
		{"stock", "9223372036854775808", json.Number("9223372036854775808"), ""}, {"stock", "1e19", json.Number("10000000000000000000"), ""},
		{"stock", "1.5", nil, "an integer"}, {"stock", "01", nil, "an integer"}, {"stock", "+1", nil, "an integer"}, {"stock", " 1", nil, "an integer"}, {"stock", "", nil, "an integer"},
		{"stock", "1e1001", nil, "exponent"}, {"stock", "1e-99999999999999999999", nil, "exponent"}, {"stock", strings.Repeat("1", 1001), nil, "digits"}, {"stock", "1e 3", nil, "%2B"},
		{"price", "1e400", json.Number("1e400"), ""}, {"price", "1e0001000", json.Number("1e0001000"), ""}, {"price", "-1E-5", json.Number("-1E-5"), ""}, {"price", "." + strings.Repeat("1", 3), nil, "a number"},
		{"price", "0." + strings.Repeat("1", 999), json.Number("0." + strings.Repeat("1", 999)), ""}, {"price", "0." + strings.Repeat("1", 1000), nil, "digits"},
		{"price", "1e1001", nil, "exponent"}, {"price", "NaN", nil, "a number"}, {"price", "Infinity", nil, "a number"}, {"price", "0x10", nil, "a number"}, {"price", "1_000", nil, "a number"}, {"price", "1 ", nil, "a number"}, {"price", "1e 5", nil, "%2B"},
		{"sold_out", "true", true, ""}, {"sold_out", "1", nil, "true or false"}, {"stock[exists]", "false", false, ""}, {"stock[exists]", "1", nil, "true or false"},
		{"created_at", "2026-11-24T12:00:00+02:00", "2026-11-24T10:00:00.000Z", ""}, {"created_at", "2026-11-24T12:00:00.0005Z", "2026-11-24T12:00:00.000Z+", ""},
		{"created_at", "2026-11-24T12:00:00 02:00", nil, "%2B"}, {"created_at", "2026-11-24T12:00:00", nil, "RFC 3339"}, {"created_at", "0000-01-01T00:00:00+00:01", nil, "RFC 3339"},
		{"name", "2026-11-24T12:00:00 02:00", "2026-11-24T12:00:00 02:00", ""}, {"name", "\xff", nil, "UTF-8"},
	} {
		if _, ok := words.filters[c.name]; !ok {
			t.Fatalf("got no filter %s, want one", c.name)
		}
		got, err := parse(c.name, c.text)
		if got != c.want || (err != nil) != (c.want == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s=%.40s: got %#v, %v, want %#v, %s", c.name, c.text, got, err, c.want, c.says)
		}
	}
	for _, name := range []string{"id[exists]", "version[exists]", "created_at[exists]", "updated_at[exists]"} {
		if _, ok := words.filters[name]; ok {
			t.Errorf("got the filter %s, want none: every entity has the property", name)
		}
	}
}

func TestSortKeys(t *testing.T) {
	words := New(mustGet(t, "products"))
	for text, want := range map[string]string{
		"price.nullslast": "price.nullslast", "-price.nullsfirst,name": "-price.nullsfirst,name", "version.nullslast": "version",
		"price.nulls": "", "price.": "", ".nullslast": "", "price.nullslast.nullsfirst": "", "price,price.nullslast": "", "-price.NULLSLAST": "",
	} {
		keys, err := words.parseSort(text)
		if got := sortText(keys); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// A cursor belongs to a list. It is invalid for another collection, for another sort, and for the
// same sort if a column had another type when the cursor was made.
func TestACursorBelongsToADefinition(t *testing.T) {
	words := New(mustGet(t, "products"))
	sort, err := words.parseSort("price,-name")
	if err != nil {
		t.Fatal(err)
	}
	text := EncodeCursor("products", sort, query.Cursor{Keys: []any{1.5, "a"}, ID: placeID})
	if _, err := decodeCursor(text, "products", sort); err != nil {
		t.Error(err)
	}
	if _, err := decodeCursor(text, "orders", sort); err == nil {
		t.Error("got no error for a cursor of another collection, want one")
	}
	retyped, err := New(mustGet(t, "products")).parseSort("stock,-name")
	if err != nil {
		t.Fatal(err)
	}
	was := EncodeCursor("products", retyped, query.Cursor{Keys: []any{int64(1), "a"}, ID: placeID})
	if _, err := decodeCursor(was, "products", sort); err == nil {
		t.Error("got no error for a cursor of another sort, want one")
	}
	for _, old := range []string{`{"s":"price,-name","k":[1.5e0,"a"],"i":"` + placeID + `"}`, `{"c":"products","s":"price,-name","t":"ss","k":["1","a"],"i":"` + placeID + `"}`} {
		_, err := decodeCursor(raw(old), "products", sort)
		if err == nil || !strings.Contains(err.Error(), "earlier definition of the list") {
			t.Errorf("%s: got %v, want that it belongs to an earlier definition", old, err)
		}
	}
}
