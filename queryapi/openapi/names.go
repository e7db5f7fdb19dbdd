package openapi

import (
	"strconv"
	"strings"
)

// names holds the names of the component schemas. Code generators turn them into names of types
// in the style of each language, where order_items and orderItems would collide. So no two names
// differ only in case and underscores.
type names map[string]bool

// claim returns the name, with a number appended if it is taken.
func (n names) claim(name string) string {
	free := name
	for i := 2; n[typeName(free)]; i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	n[typeName(free)] = true
	return free
}

// reserve keeps the names that code generators give to inline schemas of a component: the name of
// the component followed by that of the property.
func (n names) reserve(component string, schema any) {
	m, _ := schema.(map[string]any)
	properties, _ := m["properties"].(map[string]any)
	for property := range properties {
		n[typeName(component+"_"+plainName(property))] = true
	}
}

// typeName normalises a name as all languages do, apart from case and underscores.
func typeName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}

// plainName turns any text into a part of a component's name.
func plainName(text string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, text), "_")
}
