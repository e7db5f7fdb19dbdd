package openapi

import (
	"strconv"
	"strings"
)

// names are the names of the component schemas. Generators make types of them, named as
// their language has it: order_items and orderItems would be one type. So no two names
// differ in case and underscores alone.
type names map[string]bool

// claim gives the name, or one with a number if it is taken.
func (n names) claim(name string) string {
	free := name
	for i := 2; n[typeName(free)]; i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	n[typeName(free)] = true
	return free
}

// reserve keeps the names that generators give to what stands inline in a component: that
// of the component, and then of the property.
func (n names) reserve(component string, schema any) {
	m, _ := schema.(map[string]any)
	properties, _ := m["properties"].(map[string]any)
	for property := range properties {
		n[typeName(component+"_"+plainName(property))] = true
	}
}

// typeName is what all languages make of a name, apart from case and underscores.
func typeName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}

// plainName makes a part of a component's name of any text.
func plainName(text string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, text), "_")
}
