package openapi_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi/openapi"
)

func model(t *testing.T, name, text string) *sqlmodel.Definition {
	t.Helper()
	d, err := sqlmodel.Load(t.Context(), name, name+".sql", text, []string{"users"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const daysModel = `-- Days.
CREATE TABLE days (day TEXT NOT NULL, n INTEGER NOT NULL, total REAL, sure BOOLEAN, at TIMESTAMP, doc JSON);
CREATE TABLE _hidden (x);
CREATE VIEW months AS SELECT substr(day, 1, 7) AS month, n FROM days;
-- query: top(least integer = 1, since time, word text = '')
SELECT day, n * 2 AS double FROM days WHERE n >= :least AND day >= :since AND day <> :word;
`

// Only the list of a collection with properties to search describes the search.
func TestSearchIsDescribed(t *testing.T) {
	dir := t.TempDir()
	writeCollection(t, dir, "notes", `{"title":"notes","type":"object","properties":{"text":{"type":"string","x-search":true},"other":{"type":"string"}}}`)
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openapi.Describe(set, "v", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc := load(t, b)
	for path, want := range map[string]bool{"/notes": true, "/users": false} {
		list := doc.Paths.Value(path).Get
		q, highlight := list.Parameters.GetByInAndName("query", "q"), list.Parameters.GetByInAndName("query", "highlight")
		if (q != nil) != want || (highlight != nil) != want || (list.Responses.Value("501") != nil) != want {
			t.Errorf("%s: got q %v, highlight %v and 501 %v, want them %t", path, q, highlight, list.Responses.Value("501"), want)
		}
	}
}

func TestModelsAreDescribed(t *testing.T) {
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	// The names of the last two models would be the same as another model's with an underscore.
	models := []*sqlmodel.Definition{model(t, "a", "CREATE TABLE b_c (x);"), model(t, "a_b", "CREATE TABLE c (x);"), model(t, "stats", daysModel)}
	for name, secured := range map[string]bool{"open": false, "secured": true} {
		t.Run(name, func(t *testing.T) {
			b, err := openapi.Describe(set, "v", secured, nil, openapi.Models(models), openapi.RateLimited)
			if err != nil {
				t.Fatal(err)
			}
			again, err := openapi.Describe(set, "v", secured, nil, openapi.Models(models), openapi.RateLimited)
			if err != nil || !bytes.Equal(b, again) {
				t.Error("got two descriptions of the same models, want equal ones")
			}
			doc := load(t, b)
			ids := map[string]bool{}
			for _, path := range []string{"/models/a/b_c", "/models/a_b/c", "/models/stats/days", "/models/stats/months", "/models/stats/top"} {
				item := doc.Paths.Value(path)
				if item == nil {
					t.Fatalf("got no path %s, want one", path)
				}
				if ids[item.Get.OperationID] {
					t.Errorf("got the operation %s twice, want unique ids", item.Get.OperationID)
				}
				ids[item.Get.OperationID] = true
				for status, want := range map[string]bool{"200": true, "304": true, "400": true, "401": secured, "403": secured, "404": true, "406": true, "429": true, "503": true} {
					if got := item.Get.Responses.Value(status) != nil; got != want {
						t.Errorf("%s: got a response %s %t, want %t", path, status, got, want)
					}
				}
			}
			if doc.Paths.Value("/models/stats/_hidden") != nil {
				t.Error("got a path for _hidden, want none")
			}
			for path, names := range map[string][]string{
				"/models/stats/days":   {"sort", "limit", "after", "fields", "count", "day", "day[prefix]", "n[gte]", "total[exists]", "sure", "at[lt]"},
				"/models/stats/months": {"sort", "month", "n[in]"},
				"/models/stats/top":    {"limit", "fields", "least", "since", "word"},
			} {
				for _, parameter := range names {
					if doc.Paths.Value(path).Get.Parameters.GetByInAndName("query", parameter) == nil {
						t.Errorf("%s: got no parameter %s, want one", path, parameter)
					}
				}
			}
			top := doc.Paths.Value("/models/stats/top").Get
			for _, parameter := range []string{"sort", "after", "count", "day"} {
				if top.Parameters.GetByInAndName("query", parameter) != nil {
					t.Errorf("got the parameter %s of a query, want none", parameter)
				}
			}
			if since, least := top.Parameters.GetByInAndName("query", "since"), top.Parameters.GetByInAndName("query", "least"); !since.Required || least.Required || !least.Schema.Value.Type.Is("integer") {
				t.Errorf("got since required %t, least required %t with type %v, want true, false and integer", since.Required, least.Required, least.Schema.Value.Type)
			}
			row := doc.Paths.Value("/models/stats/days").Get.Responses.Value("200").Value.Content["application/json"].Schema.Value.Items.Value
			for column, want := range map[string][]string{"day": {"string"}, "n": {"integer"}, "total": {"number", "null"}, "sure": {"boolean", "null"}, "at": {"string", "null"}, "doc": nil} {
				if got := row.Properties[column].Value.Type.Slice(); !slices.Equal(got, want) || !slices.Contains(row.Required, column) {
					t.Errorf("got the types %q of %s, required %q, want %q and required", got, column, row.Required, want)
				}
			}
			if untyped := doc.Paths.Value("/models/stats/top").Get.Responses.Value("200").Value.Content["application/json"].Schema.Value.Items.Value.Properties["double"].Value.Type; untyped != nil {
				t.Errorf("got the type %v of an expression, want none", untyped)
			}
		})
	}
}
