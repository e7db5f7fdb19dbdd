package openapi

import (
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// schemeName is the name of the scheme by which clients authenticate.
const schemeName = "bearer"

// unauthorized is the response to a request without a valid token.
const unauthorized = "unauthorized"

// require adds to a description that all operations on collections need a token.
func (b builder) require(doc *openapi3.T) {
	doc.Extensions = nil
	doc.Security = openapi3.SecurityRequirements{{schemeName: []string{}}}
	doc.Components.SecuritySchemes = openapi3.SecuritySchemes{schemeName: &openapi3.SecuritySchemeRef{Value: &openapi3.SecurityScheme{
		Type: "http", Scheme: "bearer", BearerFormat: "JWT",
		Description: "A JSON Web Token of the identity provider that the store trusts, or an API key that its operators have issued.",
	}}}
	response := b.problemResponse("The request has no valid token. Nothing was done.", problem.Unauthorized)
	response.Headers["WWW-Authenticate"] = &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{
		Description: "How to authenticate (RFC 6750), with the reason why a token is invalid.",
		Schema:      openapi3.NewStringSchema().NewRef(),
	}}}
	doc.Components.Responses[problemResponse(unauthorized)] = &openapi3.ResponseRef{Value: response}
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if path == "/" || strings.Contains(path, ".") {
				op.Security = openapi3.NewSecurityRequirements() // it is open
				continue
			}
			op.Responses.Set("401", &openapi3.ResponseRef{Ref: "#/components/responses/" + problemResponse(unauthorized)})
		}
	}
}
