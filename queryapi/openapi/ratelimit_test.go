package openapi_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi/openapi"
)

// Only a store with limits describes the response to a client that exceeds them.
func TestLimitsAreDescribed(t *testing.T) {
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options []openapi.Option
		want    bool
	}{"without limits": {nil, false}, "with limits": {[]openapi.Option{openapi.RateLimited}, true}} {
		b, err := openapi.Describe(set, "v", true, nil, c.options...)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := openapi3.NewLoader().LoadFromData(b)
		if err != nil {
			t.Fatal(err)
		}
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				r := op.Responses.Value("429")
				if (r != nil) != c.want {
					t.Errorf("%s: %s %s: got a response 429 %t, want %t", name, method, path, r != nil, c.want)
				}
				if r == nil {
					continue
				}
				for _, field := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
					if r.Value.Headers[field] == nil {
						t.Errorf("%s %s: got no header field %s of the response 429, want it", method, path, field)
					}
				}
			}
		}
	}
}
