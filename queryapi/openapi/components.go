package openapi

import (
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/problem"
)

func headers() openapi3.Headers {
	header := func(description string, schema *openapi3.Schema) *openapi3.HeaderRef {
		return &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{Description: description, Schema: schema.NewRef()}}}
	}
	return openapi3.Headers{
		"ETag":                header(`The version, as "3", and "3-gzip" or "3-zstd" where the answer is compressed; of a list, a weak tag of the position.`, openapi3.NewStringSchema().WithPattern(`^(W/)?"[^"]*"$`)),
		"Location":            header("The path of the new entity.", openapi3.NewStringSchema()),
		"Link":                header(`The next page, with rel="next". The last page has none.`, openapi3.NewStringSchema()),
		"Last-Modified":       header("When the entity was changed last.", openapi3.NewStringSchema()),
		"Total-Count":         header("How many entities match, if count=true.", openapi3.NewIntegerSchema().WithMin(0)),
		"Retry-After":         header("Seconds to wait before another try.", openapi3.NewIntegerSchema().WithMin(0)),
		"X-Request-Id":        header("The client's, or a new one.", openapi3.NewStringSchema()),
		api.HeaderPosition:    header("The position in the log that the answer holds for.", openapi3.NewIntegerSchema().WithMin(0)),
		api.HeaderConsistency: header("The consistency that the read was given.", openapi3.NewStringSchema().WithEnum("strong", "eventual", "linearizable")),
		"Accept-Patch":        header("The media types of PATCH (RFC 5789).", openapi3.NewStringSchema()),
		"Accept-Encoding":     header("The content codings of a body, in an answer that refuses another one.", openapi3.NewStringSchema()),
	}
}

// answers are the problems, by the name of their response.
var answers = map[string]struct {
	status      int
	description string
	kinds       []problem.Kind
}{
	"badRequest":           {400, "The request can't be read: it is malformed, or names a parameter that there is not.", []problem.Kind{problem.MalformedRequest}},
	"notFound":             {404, "There is no such entity or collection.", []problem.Kind{problem.NotFound, problem.UnknownCollection}},
	"notAcceptable":        {406, "The Accept field rules out the type of the answer. Nothing was done.", []problem.Kind{problem.NotAcceptable}},
	"requestTimeout":       {408, "The body came too slowly.", []problem.Kind{problem.RequestTimeout}},
	"conflict":             {409, "A unique value is taken, or the first request with the Idempotency-Key is in flight.", []problem.Kind{problem.UniqueTaken, problem.IdempotencyInFlight}},
	"preconditionFailed":   {412, "The entity has another version than If-Match asks for. Nothing was done.", []problem.Kind{problem.VersionMismatch}},
	"contentTooLarge":      {413, "The body is too large.", []problem.Kind{problem.BodyTooLarge}},
	"unsupportedMediaType": {415, "The body has a media type that the operation does not take.", []problem.Kind{problem.UnsupportedMediaType}},
	"unprocessable":        {422, "The document is not valid, or the Idempotency-Key came with another request.", []problem.Kind{problem.InvalidDocument, problem.IdempotencyKeyReused}},
	"internal":             {500, "The server failed. The error is in its log, under the request's id.", []problem.Kind{problem.Internal}},
	"unavailable":          {503, "The node can't answer now. Nothing was done, except that with outcome-unknown the write may or may not have happened.", []problem.Kind{problem.BrokerUnreachable, problem.ReadModelBehind, problem.NotReady, problem.Overloaded, problem.OutcomeUnknown}},
}

// problemResponse is the name of the response of a problem. Generators make types of it
// beside those of the schemas.
func problemResponse(name string) string { return name + "Problem" }

// problems gives a response for each, with an example of each of its kinds.
func (b builder) problems() openapi3.ResponseBodies {
	all := openapi3.ResponseBodies{}
	for name, a := range answers {
		media := openapi3.NewMediaType().WithSchemaRef(schemaRef(b.problem))
		for _, kind := range a.kinds {
			p := kind.New("What exactly is wrong.")
			p.Instance = "01a20df2-50e7-7b2a-a562-b526911356d0"
			media.WithExample(kind.Name(), p)
		}
		r := openapi3.NewResponse().WithDescription(a.description).WithContent(openapi3.Content{problem.ContentType: media})
		r.Headers = openapi3.Headers{"X-Request-Id": headerRef("X-Request-Id")}
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
