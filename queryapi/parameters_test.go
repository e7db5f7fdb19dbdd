package queryapi_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// hostileValues are values for any parameter. Each is valid for one kind of column and invalid for
// the others.
var hostileValues = []string{
	"", "0", "-0", "1e3", "1e999", "-1e-999", "9223372036854775808", "1234567890123456768", "0x10", "NaN", `"1"`, "true", "2026-11-24T12:00:00.001Z", "-0001-01-01T00:00:00Z",
	"null", "a", "a,b\\,c\\", "%", "\x00", "\xff", "\U0010ffff", `' OR 1=1; --`, `"name"`, "name", "name.nullslast", "-price.nullsfirst,stock.nulls", "1e1000", "1e1001", "1e+3", "1e 3", "9007199254740993.0", strings.Repeat("9", 1001), "2026-11-24T12:00:00 02:00", "2026-11-24t12:00:60.1234567891z", "-price,name", strings.Repeat("a,", 1001),
}

// listSeeds returns query strings. They combine each operator of each column of products, which
// have a column of every kind, and each other parameter with every hostile value. Some have a second
// parameter, and some are malformed as a whole.
func listSeeds(t testing.TB) []string {
	t.Helper()
	c, ok := examples(t).Get("products")
	if !ok {
		t.Fatal("got no collection products, want one")
	}
	var names []string
	for _, p := range listing.Parameters {
		names = append(names, p.Name)
	}
	for _, column := range query.Columns(c) {
		for _, o := range listing.Operators(column.Kind()) {
			names = append(names, listing.FilterName(column.Name(), o))
		}
	}
	seeds := []string{"", "limit=1&limit=2", "%zz", "a;b", "name[or]=1", "name[gt", "after=" + strings.Repeat("A", 500)}
	for i, name := range names {
		for _, value := range hostileValues {
			seeds = append(seeds, url.Values{name: {value}}.Encode())
		}
		two := url.Values{name: {"1"}, names[(i+9)%len(names)]: {"true"}, "sort": {"-price,name"}}
		seeds = append(seeds, two.Encode())
	}
	return seeds
}

// askOddProducts stores odd products and returns a function that requests a list of them. The
// response must be a list or a problem that says what is wrong with the request.
func askOddProducts(t testing.TB) func(testing.TB, string) {
	t.Helper()
	n := newNodeOf(t, examples(t))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		n.append(product(productID(i), events.Created, 1, oddProduct(r)))
	}
	n.get("/products", 200)
	return func(t testing.TB, query string) {
		t.Helper()
		r, err := http.NewRequest("GET", "http://x/products", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		r.Header.Set("Clusterlite-Consistency", "eventual")
		answer := servicetest.Serve(n, r)
		body := servicetest.Body(t, answer)
		switch answer.StatusCode {
		case 200:
			var list []json.RawMessage
			if err := json.Unmarshal([]byte(body), &list); err != nil || list == nil {
				t.Errorf("%q: got %v: %s, want a list", query, err, body)
			}
		case 400:
			if !strings.Contains(body, "/malformed-request") {
				t.Errorf("%q: got %s, want malformed-request", query, body)
			}
		default:
			t.Errorf("%q: got %d: %s, want 200 or 400", query, answer.StatusCode, body)
		}
	}
}

func TestHostileListParameters(t *testing.T) {
	ask := askOddProducts(t)
	for _, query := range listSeeds(t) {
		ask(t, query)
	}
}

// FuzzListParameters decodes arbitrary query strings.
func FuzzListParameters(f *testing.F) {
	// The seeds cover every name and every value. Their number is limited, since the engine reads all
	// of them before it starts.
	seeds := listSeeds(f)
	for i := 0; i < len(seeds); i += 19 {
		f.Add(seeds[i])
	}
	ask := askOddProducts(f)
	f.Fuzz(func(t *testing.T, query string) { ask(t, query) })
}
