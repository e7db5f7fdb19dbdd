package openapi

import (
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// tooManyRequests is the response to a client that sends too many requests.
const tooManyRequests = "tooManyRequests"

// An Option adds to a description what depends on the settings of the node.
type Option func(builder, *openapi3.T)

// RateLimited adds to all operations that the requests of each client are limited.
func RateLimited(b builder, doc *openapi3.T) {
	response := b.problemResponse("The client has sent too many requests. Nothing was done. Retry later.", problem.RateLimited)
	response.Headers["Retry-After"] = headerRef("Retry-After")
	for name, description := range map[string]string{
		"RateLimit":        "How many requests are left (r), and the number of seconds until all of them are available again (t).",
		"RateLimit-Policy": "The limit: the number of requests (q) in a number of seconds (w).",
	} {
		response.Headers[name] = &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{Description: description, Schema: openapi3.NewStringSchema().NewRef()}}}
	}
	doc.Components.Responses[problemResponse(tooManyRequests)] = &openapi3.ResponseRef{Value: response}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			op.Responses.Set("429", &openapi3.ResponseRef{Ref: "#/components/responses/" + problemResponse(tooManyRequests)})
		}
	}
}
