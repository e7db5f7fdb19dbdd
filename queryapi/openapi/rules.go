package openapi

import (
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// forbidden is the response to a caller whom the access rules do not allow the request.
const forbidden = "forbidden"

// ruled are the kinds of access that methods need.
var ruled = map[string]access.Action{
	http.MethodGet: access.Read, http.MethodPost: access.Create, http.MethodPut: access.Update, http.MethodPatch: access.Update, http.MethodDelete: access.Delete,
}

// describeRules adds to a description which operations the access rules may deny, and which of
// them need no credentials.
func (b builder) describeRules(doc *openapi3.T, set *collections.Set, policies *access.Policies) {
	for path, item := range doc.Paths.Map() {
		name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		c, ok := set.Get(name)
		if !ok {
			continue
		}
		if _, has := c.Access(); !has {
			continue
		}
		doc.Components.Responses[problemResponse(forbidden)] = &openapi3.ResponseRef{
			Value: b.problemResponse("The access rules of the collection do not allow this. Nothing was done.", problem.Forbidden),
		}
		for method, op := range item.Operations() {
			needs := ruled[method]
			if strings.HasSuffix(path, "/restore") {
				needs = access.Update
			}
			op.Responses.Set("403", &openapi3.ResponseRef{Ref: "#/components/responses/" + problemResponse(forbidden)})
			if policies != nil && !policies.Of(name).Excludes(needs, caller.Anonymous) {
				op.Security = &openapi3.SecurityRequirements{{schemeName: []string{}}, {}}
			}
		}
	}
}
