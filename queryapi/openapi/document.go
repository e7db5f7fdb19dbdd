// Package openapi describes the REST API of a set of collections in OpenAPI 3.1.
package openapi

import (
	"encoding/json"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
)

// Describe gives the description as JSON. It is the same for the same collections.
func Describe(set *collections.Set, version string) ([]byte, error) {
	doc := &openapi3.T{
		OpenAPI: "3.1.0",
		Info: &openapi3.Info{
			Title: "ClusterLite", Version: version,
			Description: "An event-sourced store for REST resources. A read sees every write that was acknowledged before it began, on any node.",
			License:     &openapi3.License{Name: "MIT", Identifier: "MIT"},
		},
		Servers: openapi3.Servers{{URL: "/"}},
		Paths:   openapi3.NewPaths(),
		Components: &openapi3.Components{
			Schemas: openapi3.Schemas{
				"problem":      problemSchema(),
				"importResult": importResultSchema(),
			},
			Headers: headers(), Parameters: parameters(), Responses: problems(),
		},
	}
	doc.Paths.Set("/", rootPath())
	doc.Paths.Set("/openapi.json", descriptionPath())
	for _, c := range set.All() {
		var example map[string]any
		for _, f := range []form{whole, sent, part} {
			schema, found, err := entitySchema(c, f)
			if err != nil {
				return nil, fmt.Errorf("describe %s: %w", c.Name(), err)
			}
			doc.Components.Schemas[f.component(c.Name())], example = schema, found
		}
		doc.Tags = append(doc.Tags, &openapi3.Tag{Name: c.Name(), Description: c.Description()})
		doc.Paths.Set("/"+c.Name(), collectionPath(c, example))
		doc.Paths.Set("/"+c.Name()+"/{id}", entityPath(c, example))
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI description: %w", err)
	}
	return b, nil
}

func schemaRef(name string) *openapi3.SchemaRef {
	return &openapi3.SchemaRef{Ref: "#/components/schemas/" + name}
}

func headerRef(name string) *openapi3.HeaderRef {
	return &openapi3.HeaderRef{Ref: "#/components/headers/" + name}
}

func parameterRef(name string) *openapi3.ParameterRef {
	return &openapi3.ParameterRef{Ref: "#/components/parameters/" + name}
}
