package openapi

import (
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

func headers() openapi3.Headers {
	header := func(description string, schema *openapi3.Schema) *openapi3.HeaderRef {
		return &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{Description: description, Schema: schema.NewRef()}}}
	}
	return openapi3.Headers{
		"ETag":                     header(`The entity tag. For an entity, its version, such as "3", or "3-gzip" or "3-zstd" if the response is compressed. For a list, a weak tag that changes whenever its collection or its definition changes.`, openapi3.NewStringSchema().WithPattern(`^(W/)?"[^"]*"$`)),
		"Location":                 header("The path of the created entity.", openapi3.NewStringSchema()),
		"Link":                     header(`The next page, with rel="next". Absent on the last page.`, openapi3.NewStringSchema()),
		"Last-Modified":            header("When the entity last changed.", openapi3.NewStringSchema()),
		"Total-Count":              header("The number of entities that match, on all pages. Present if count=true.", openapi3.NewIntegerSchema().WithMin(0)),
		"Retry-After":              header("The number of seconds to wait before a retry.", openapi3.NewIntegerSchema().WithMin(0)),
		"X-Request-Id":             header("The id of the request: the client's, or a generated one.", openapi3.NewStringSchema()),
		contract.HeaderPosition:    header("The position in the log that the response reflects.", openapi3.NewIntegerSchema().WithMin(0)),
		contract.HeaderConsistency: header("The consistency of the response.", openapi3.NewStringSchema().WithEnum("strong", "eventual", "linearizable")),
		changes.HeaderNextOffset:   header("The offset after the changes, where the next request begins.", openapi3.NewStringSchema()),
		changes.HeaderUpToDate:     header("`true` if the response has all changes that there were.", openapi3.NewStringSchema().WithEnum("true")),
		"Accept-Patch":             header("The media types that PATCH accepts (RFC 5789).", openapi3.NewStringSchema()),
		"Accept-Encoding":          header("The content codings that a request body may have. Present if the request used a different one.", openapi3.NewStringSchema()),
	}
}

// answers are the problems, by the name of their response.
var answers = map[string]struct {
	status      int
	description string
	kinds       []problem.Kind
}{
	"badRequest":           {400, "The request is malformed or has an unknown parameter. Nothing was done.", []problem.Kind{problem.MalformedRequest}},
	"notFound":             {404, "The entity or collection does not exist.", []problem.Kind{problem.NotFound, problem.UnknownCollection}},
	"notAcceptable":        {406, "The Accept field rules out the media type of the response. Nothing was done.", []problem.Kind{problem.NotAcceptable}},
	"requestTimeout":       {408, "The request body was sent too slowly. Nothing was done.", []problem.Kind{problem.RequestTimeout}},
	"conflict":             {409, "A unique value is already taken, or the first request with the same Idempotency-Key is still in progress. Nothing was done.", []problem.Kind{problem.UniqueTaken, problem.IdempotencyInFlight}},
	"preconditionFailed":   {412, "The version of the entity does not match If-Match. Nothing was done.", []problem.Kind{problem.VersionMismatch}},
	"contentTooLarge":      {413, "The request body is too large. Nothing was done.", []problem.Kind{problem.BodyTooLarge}},
	"unsupportedMediaType": {415, "The operation does not accept the media type or content coding of the request body. Nothing was done.", []problem.Kind{problem.UnsupportedMediaType}},
	"unprocessable":        {422, "The document is invalid, or the Idempotency-Key was used for a different request. Nothing was done.", []problem.Kind{problem.InvalidDocument, problem.IdempotencyKeyReused}},
	"internal":             {500, "The server failed unexpectedly. The error is in its log under the request's id.", []problem.Kind{problem.Internal}},
	"unavailable":          {503, "The node can't serve the request now. Nothing was done, unless the type is outcome-unknown: then the write may or may not have happened. Retry later.", []problem.Kind{problem.BrokerUnreachable, problem.ReadModelBehind, problem.NotReady, problem.Overloaded, problem.OutcomeUnknown}},
}

// problemResponse returns the name of the response of a problem. Code generators turn it into the
// name of a type, next to those of the schemas.
func problemResponse(name string) string { return name + "Problem" }

// problems returns a response for each name, with an example of each kind of problem.
func (b builder) problems() openapi3.ResponseBodies {
	all := openapi3.ResponseBodies{}
	for name, a := range answers {
		r := b.problemResponse(a.description, a.kinds...)
		switch a.status {
		case 503:
			r.Headers["Retry-After"] = headerRef("Retry-After")
		case 415:
			r.Headers["Accept-Encoding"], r.Headers["Accept-Patch"] = headerRef("Accept-Encoding"), headerRef("Accept-Patch")
		}
		all[problemResponse(name)] = &openapi3.ResponseRef{Value: r}
	}
	return all
}

// problemResponse returns a response with an example of each kind of problem.
func (b builder) problemResponse(description string, kinds ...problem.Kind) *openapi3.Response {
	media := openapi3.NewMediaType().WithSchemaRef(schemaRef(b.problem))
	for _, kind := range kinds {
		p := kind.New("What is wrong in detail.")
		p.Instance = "01a20df2-50e7-7b2a-a562-b526911356d0"
		media.WithExample(kind.Name(), p)
	}
	r := openapi3.NewResponse().WithDescription(description).WithContent(openapi3.Content{problem.ContentType: media})
	r.Headers = openapi3.Headers{"X-Request-Id": headerRef("X-Request-Id")}
	return r
}
