package openapi

import (
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// searchUnavailable is the response of a node without full-text search.
const searchUnavailable = "searchUnavailable"

// describeSearch adds the full-text search to the lists of collections that have one.
func (b builder) describeSearch(doc *openapi3.T, set *collections.Set) {
	for _, c := range set.All() {
		searched := c.Searched()
		if len(searched) == 0 {
			continue
		}
		doc.Components.Responses[problemResponse(searchUnavailable)] = &openapi3.ResponseRef{Value: b.problemResponse("The node has no full-text search.", problem.SearchUnavailable)}
		list := doc.Paths.Value("/" + c.Name()).Get
		list.Parameters = append(list.Parameters,
			queryParameter("q", "Full-text search in `"+strings.Join(searched, "`, `")+"`: the list has the entities in which all words occur, the best matches first. `word*` matches words that begin so, and text in double quotes is a phrase. Only `highlight`, `limit`, `after`, `fields` and `count` may accompany it.", openapi3.NewStringSchema().WithMinLength(1)),
			queryParameter("highlight", "With `q`: whether each entity has the member `_highlights`, which has for each property that matches a part of its text as HTML, with the matches in `<mark>`.", openapi3.NewBoolSchema()))
		list.Responses.Set("501", &openapi3.ResponseRef{Ref: "#/components/responses/" + problemResponse(searchUnavailable)})
	}
}
