// Package openapi describes the REST API of a set of collections in OpenAPI 3.1.
package openapi

import (
	"encoding/json"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
)

// about is the introduction of the description.
const about = `An event-sourced store for REST resources. A read sees every write that was acknowledged before it began, on any node.

Every GET operation is available as HEAD too, which returns the header only. OPTIONS returns the methods of a resource.

This description lists the filters that are most useful for each member. All operators, ` +
	"`[gt]`, `[gte]`, `[lt]`, `[lte]`, `[ne]` and `[in]`" + `, work with every scalar member.

An operation with ` + "`x-ndjson`" + ` also accepts or returns lines of JSON, application/x-ndjson: a list streams all matching entities, and a create imports many. The extension describes those lines, so that the schemas of application/json stay simple.`

// tagOfNone is the tag of operations that belong to no collection. No collection can have this
// name.
const tagOfNone = "clusterlite"

// Describe returns the description as JSON. secured reports that clients need a token, and
// policies hold the access rules that then apply. more adds what depends on other settings. The same arguments always give the same bytes.
func Describe(set *collections.Set, version string, secured bool, policies *access.Policies, more ...Option) ([]byte, error) {
	taken := names{}
	for _, c := range set.All() {
		taken.claim(c.Name()) // first, so that the schema of a collection has the name of the collection
	}
	b := builder{problem: taken.claim("problem"), fieldError: taken.claim("field_error"), taken: taken, secured: secured}
	schemas := openapi3.Schemas{
		b.problem:    problemSchema(b.problem, b.fieldError),
		b.fieldError: fieldErrorSchema(b.fieldError),
	}
	doc := &openapi3.T{
		OpenAPI: "3.1.0",
		Info: &openapi3.Info{
			Title: "ClusterLite", Version: version, Description: about,
			License: &openapi3.License{Name: "MIT", Identifier: "MIT"},
		},
		Servers: openapi3.Servers{{URL: "/"}},
		// An empty list says that no authentication is required. The library's own field omits
		// it.
		Extensions: map[string]any{"security": []any{}},
		Paths:      openapi3.NewPaths(),
		Components: &openapi3.Components{Schemas: schemas, Headers: headers(), Parameters: parameters(), Responses: b.problems()},
	}
	for _, c := range set.All() {
		r, err := addSchemas(schemas, taken, c)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", c.Name(), err)
		}
		doc.Tags = append(doc.Tags, &openapi3.Tag{Name: c.Name(), Description: c.Description()})
		doc.Paths.Set("/"+c.Name(), b.collectionPath(r))
		doc.Paths.Set("/"+c.Name()+"/{id}", entityPath(r))
		doc.Paths.Set("/"+c.Name()+"/changes", changesPath(c.Name(), "changes_"+c.Name(), c.Name(), filterParameters(c, changes.Parameters)))
		doc.Paths.Set("/"+c.Name()+"/{id}/restore", restorePath(r))
		doc.Paths.Set("/"+c.Name()+"/{id}/versions", versionsPath(r))
		doc.Paths.Set("/"+c.Name()+"/{id}/versions/{version}", versionPath(r))
	}
	doc.Paths.Set("/", rootPath())
	doc.Paths.Set("/openapi.json", descriptionPath())
	doc.Paths.Set("/changes", changesPath(tagOfNone, "changes_clusterlite", "all collections", nil))
	doc.Tags = append(doc.Tags, &openapi3.Tag{Name: tagOfNone, Description: "The collections of this store."})
	b.describeSearch(doc, set)
	for _, add := range more {
		add(b, doc)
	}
	if secured {
		b.require(doc)
		b.describeRules(doc, set, policies)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI description: %w", err)
	}
	return out, nil
}

// A builder creates operations from the names of the schemas that they share.
type builder struct {
	problem, fieldError string
	taken               names
	secured             bool
}

func schemaRef(name string) *openapi3.SchemaRef {
	return &openapi3.SchemaRef{Ref: componentRef(name)}
}

func headerRef(name string) *openapi3.HeaderRef {
	return &openapi3.HeaderRef{Ref: "#/components/headers/" + name}
}

func parameterRef(name string) *openapi3.ParameterRef {
	return &openapi3.ParameterRef{Ref: "#/components/parameters/" + name}
}
