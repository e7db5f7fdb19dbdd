package collections

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// validColumn matches the names of properties that become columns.
var validColumn = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

// serverMembers are the members that the server sets in every entity.
var serverMembers = []string{"id", "version", "created_at", "updated_at"}

// parameters are the current parameters of lists, and names reserved for future ones. A
// filter is a parameter with the name of a property, so a column can't have one of these
// names.
var parameters = []string{"after", "at", "count", "fields", "limit", "live", "offset", "previous", "q", "sort"}

// documentColumn is the column of a collection's table that has the whole document.
const documentColumn = "doc"

// maxColumns is the maximum number of columns. With the server's own columns, it is far
// below SQLite's limit.
const maxColumns = 1000

// readProperties reads the declared top-level properties. If one is invalid, reason says
// what is wrong at pointer.
func readProperties(root map[string]any) (properties []Property, pointer, reason string) {
	declared, _ := root["properties"].(map[string]any) // the compiler rejects other types
	columns := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		pointer := "/properties/" + escape(name)
		schema, ok := declared[name].(map[string]any)
		if !ok {
			continue // true or false
		}
		switch {
		case slices.Contains(serverMembers, strings.ToLower(name)):
			return nil, pointer, fmt.Sprintf("%q is set by the server and can't be declared", name)
		case strings.HasPrefix(name, "_"):
			return nil, pointer, "names that start with _ are reserved"
		}
		p, scalar := scalarProperty(name, schema)
		if reason := readExtensions(&p, schema, scalar && validColumn.MatchString(name)); reason != "" {
			return nil, pointer, reason
		}
		if !scalar || !validColumn.MatchString(name) {
			continue
		}
		if slices.Contains(parameters, strings.ToLower(name)) {
			return nil, pointer, fmt.Sprintf(`%q is or may become a parameter of lists, so lists could not filter by it: `+
				`rename the property, or declare it without a column as {"allOf": [{"type": %q}]}`, name, p.Type)
		}
		if strings.ToLower(name) == documentColumn {
			return nil, pointer, fmt.Sprintf("%q is the column of the whole document: rename the scalar property", name)
		}
		if other, twice := columns[strings.ToLower(name)]; twice {
			return nil, pointer, fmt.Sprintf("differs from %q only in case; column names must differ in more than case", other)
		}
		columns[strings.ToLower(name)] = name
		if properties = append(properties, p); len(properties) > maxColumns {
			return nil, "/properties", fmt.Sprintf("has more than %d scalar properties", maxColumns)
		}
	}
	return properties, "", ""
}

// scalarProperty reads the type of a property: a scalar, or a scalar and null.
func scalarProperty(name string, schema map[string]any) (Property, bool) {
	p := Property{Name: name}
	p.Format, _ = schema["format"].(string)
	switch t := schema["type"].(type) {
	case string:
		p.Type = t
	case []any:
		for _, one := range t {
			switch s, _ := one.(string); {
			case s == "null":
				p.Nullable = true
			case p.Type == "":
				p.Type = s
			default:
				return p, false // several types are not a scalar
			}
		}
	}
	return p, slices.Contains([]string{"string", "integer", "number", "boolean"}, p.Type)
}

// escape escapes a name for a JSON pointer (RFC 6901).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func pointerTo(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + escape(name))
	}
	return b.String()
}
