package queryapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A new list parameter whose effect the query already supports needs one entry of the table. The
// entry makes the API validate it, changes the result, keeps it in the links of pages, and puts it
// into the description.
func TestAListParameterIsOneEntryOfTheTable(t *testing.T) {
	kept := listing.Parameters
	t.Cleanup(func() { listing.Parameters = kept })
	listing.Parameters = append(slices.Clone(kept), listing.Parameter{
		Name: "newest", Description: "If true, the newest entities come first.", Shared: true,
		Schema: func(*collections.Collection) *openapi3.Schema { return openapi3.NewBoolSchema() },
		Parse: func(_ *listing.Vocabulary, r listing.Request, value string) (listing.Request, error) {
			if value != "true" {
				return r, problem.MalformedRequest.New("newest must be true.")
			}
			id := query.Columns(&collections.Collection{})[0]
			r.Sort = []query.SortKey{{Column: id, Descending: true}}
			return r, nil
		},
	})
	n := newNodeOf(t, declared(t, map[string]string{"tasks": tasks}))
	n.put("tasks", `{"n":1}`, `{"n":2}`, `{"n":3}`)

	if got, want := n.numbers("/tasks"), []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("without the parameter: got %v, want %v", got, want)
	}
	if got, want := n.numbers("/tasks?newest=true"), []int{3, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if link := n.get("/tasks?newest=true&limit=1", 200).Header.Get("Link"); !strings.Contains(link, "newest=true") {
		t.Errorf("got Link %s, want the parameter in it", link)
	}
	for asked, want := range map[string]string{"newest=maybe": "newest must be true.", "newst=true": `Did you mean \"newest\"?`} {
		if body := servicetest.Body(t, n.get("/tasks?"+asked, 400)); !strings.Contains(body, want) {
			t.Errorf("%s: got %s, want %s", asked, body, want)
		}
	}
	var description struct {
		Components struct {
			Parameters map[string]struct{ Description string }
		}
		Paths map[string]struct {
			Get struct {
				Parameters []map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(servicetest.Body(t, n.get("/openapi.json", 200))), &description); err != nil {
		t.Fatal(err)
	}
	refs := fmt.Sprint(description.Paths["/tasks"].Get.Parameters)
	if got := description.Components.Parameters["newestParameter"].Description; got != "If true, the newest entities come first." || !strings.Contains(refs, "newestParameter") {
		t.Errorf("got description %q with the list's references %s, want the new parameter in both", got, refs)
	}
}
