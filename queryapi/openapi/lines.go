package openapi

import "github.com/getkin/kin-openapi/openapi3"

// linesKeyword is the extension of an operation that also accepts or returns lines of JSON.
// OpenAPI 3.1 can't describe lines. As a second media type of the operation, they would make
// generated clients type every response as a text or an entity.
const linesKeyword = "x-ndjson"

// lines is the value of linesKeyword.
type lines struct {
	Description string      `json:"description"`
	Request     *lineSchema `json:"request,omitempty"`
	Response    *lineSchema `json:"response,omitempty"`
}

// A lineSchema is the schema of each line, and the status of the response.
type lineSchema struct {
	Status int                 `json:"status,omitempty"`
	Schema *openapi3.SchemaRef `json:"lineSchema"`
}
