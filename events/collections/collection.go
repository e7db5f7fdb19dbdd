// Package collections loads the collections of resources. Each is declared by a JSON Schema
// (2020-12) with additional keywords: x-access for the collection, and x-unique, x-index, x-search and
// x-default for its properties.
package collections

import "encoding/json"

// A Collection is one declared kind of resource. It is immutable and safe for concurrent
// use.
type Collection struct {
	name        string
	description string
	source      json.RawMessage
	validators  *validators
	properties  []Property
	members     []string
	open        bool
	defaults    *shape  // nil if nothing has a default
	access      *Access // nil if there are no rules
}

// A Property is a declared top-level scalar property of a collection's documents.
type Property struct {
	Name string
	// Type is string, integer, number or boolean.
	Type string
	// Nullable reports whether null is allowed too.
	Nullable bool
	// Format is the schema's format, such as email. It is empty if the schema has no format.
	Format string
	// Unique means that no two living entities have the same value. NoCase means that
	// values that differ only in case are equal.
	Unique, NoCase bool
	// Index means that lists can filter and sort by the property fast.
	Index bool
	// Default is an expression over the caller, whose value the property gets when an entity is
	// created. Clients can't set such a property. An empty Default means that the
	// property is not set by the server.
	Default string
	// Search means that the full-text search of the collection covers the property.
	Search bool
}

// Name is the collection's name, and its path.
func (c *Collection) Name() string { return c.name }

// Description describes the collection for people. It is empty if the schema has no description.
func (c *Collection) Description() string { return c.description }

// Schema is the JSON Schema as written in the file.
func (c *Collection) Schema() json.RawMessage { return c.source }

// Members returns all declared top-level members by name, regardless of their types. open
// reports whether a document may have others.
func (c *Collection) Members() (names []string, open bool) { return c.members, c.open }

// Searched are the names of the properties that the full-text search covers, sorted.
func (c *Collection) Searched() (names []string) {
	for _, p := range c.properties {
		if p.Search {
			names = append(names, p.Name)
		}
	}
	return names
}

// Properties are the declared scalar properties that can be a column, by name.
func (c *Collection) Properties() []Property { return c.properties }
