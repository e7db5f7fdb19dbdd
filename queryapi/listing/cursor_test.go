package listing

import (
	"encoding/base64"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
)

// sorts returns several ways to sort products: by every kind of column, by several columns, by the
// id alone, and by the id before other columns.
func sorts(t testing.TB) [][]query.SortKey {
	t.Helper()
	words := New(mustGet(t, "products"))
	var all [][]query.SortKey
	for _, text := range []string{"id", "-id", "version", "-created_at", "name", "-price", "stock", "sold_out", "name,-price,stock", "-price,id,name", "price.nullslast,-name.nullsfirst"} {
		sort, err := words.parseSort(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sort)
	}
	return append(all, nil)
}

func mustGet(t testing.TB, name string) *collections.Collection {
	t.Helper()
	set, err := collections.Load("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	c, ok := set.Get(name)
	if !ok {
		t.Fatalf("got no collection %s, want one", name)
	}
	return c
}

func raw(cursor string) string { return base64.RawURLEncoding.EncodeToString([]byte(cursor)) }

const placeID = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"

// hostileKeys are values of sort keys that SQLite can return, at the limits of JSON's and Go's
// numbers.
var hostileKeys = []any{
	nil, "", "a,b", `"`, "\x00", "\u2028<&>", "ß", "'; DROP TABLE users; --",
	int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1<<53 + 1),
	0.0, 1.0, 4.5, -1e-300, 5e-324, 1e20, 1e21, float64(1 << 53), 1234567890123456768.0, -9223372036854775808.0, math.MaxFloat64, math.Inf(1), math.Inf(-1),
}

func TestACursorIsAPlace(t *testing.T) {
	for _, sort := range sorts(t) {
		for i := range hostileKeys {
			place := query.Cursor{Keys: []any{}, ID: placeID}
			for k := range sort {
				if sort[k].Column.Name() == "id" {
					break
				}
				place.Keys = append(place.Keys, hostileKeys[(i+k)%len(hostileKeys)])
			}
			cursor := EncodeCursor("products", sort, place)
			got, err := decodeCursor(cursor, "products", sort)
			if err != nil || got.ID != place.ID || len(got.Keys) != len(place.Keys) || len(place.Keys) > 0 && !reflect.DeepEqual(got.Keys, place.Keys) {
				t.Errorf("%q: %#v: got %#v, %v, want the same", sortText(sort), place, got, err)
			}
			for _, other := range sorts(t) {
				if _, err := decodeCursor(cursor, "products", other); sortText(other) != sortText(sort) && err == nil {
					t.Errorf("got no error for a cursor of %q used as one of %q, want one", sortText(sort), sortText(other))
				}
			}
		}
	}
}

// FuzzCursor decodes arbitrary input as a cursor. Each accepted input is a place that can be
// encoded as a cursor again, and that cursor is the same place.
func FuzzCursor(f *testing.F) {
	all := sorts(f)
	for i, key := range hostileKeys {
		which := i % len(all)
		keys := []any{}
		for range all[which] {
			keys = append(keys, key)
		}
		f.Add(uint(which), EncodeCursor("products", all[which], query.Cursor{Keys: keys, ID: placeID}))
	}
	for i, sort := range all {
		for _, text := range []string{
			`{"s":"name","k":["a"],"i":"` + placeID + `"}}`, `{"s":"name","k":[{}],"i":"` + placeID + `"}`, `{"s":"name","k":null,"i":"` + placeID + `"}`, `{"s":"name","k":["a"],"i":"x' OR 1=1"}`,
			`{"s":"name","k":["a"],"i":"` + placeID + `","x":1}`, `{"s":"name","k":["\ud800"],"i":"` + placeID + `"}`, `{"s":"name","k":[true],"i":"` + placeID + `"}`,
			`{"s":"-price","k":[1e999],"i":"` + placeID + `"}`, `{"s":"-price","k":[-0.0],"i":"` + placeID + `"}`, `{"s":"-price","k":[1e-999],"i":"` + placeID + `"}`, `{"s":"-price","k":[99999999999999999999],"i":"` + placeID + `"}`,
		} {
			if rest, ok := strings.CutPrefix(text, `{"s":"`+sortText(sort)+`",`); ok {
				f.Add(uint(i), raw(text))
				f.Add(uint(i), raw(`{"c":"products","s":"`+sortText(sort)+`","t":"`+typesText(sort)+`",`+rest))
			}
		}
	}
	for _, text := range []string{"", "%%%", "e30", "bnVsbA", "W10"} { // the last are {}, null and []
		f.Add(uint(0), text)
	}
	f.Fuzz(func(t *testing.T, which uint, text string) {
		sort := all[which%uint(len(all))]
		place, err := decodeCursor(text, "products", sort)
		if err != nil {
			return
		}
		again, err := decodeCursor(EncodeCursor("products", sort, *place), "products", sort)
		if err != nil || !reflect.DeepEqual(again, place) && (len(again.Keys) > 0 || len(place.Keys) > 0 || again.ID != place.ID) {
			t.Errorf("%q: %#v: got %#v, %v, want the same", sortText(sort), place, again, err)
		}
	})
}
