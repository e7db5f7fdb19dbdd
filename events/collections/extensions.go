package collections

import (
	"fmt"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/events/nearest"
)

// An extension is a keyword that ClusterLite adds to JSON Schema. It belongs in the schema of a
// scalar top-level property.
type extension struct {
	name string
	// read sets what the value declares in the property. Otherwise it returns what is wrong,
	// as a text that follows the name.
	read func(p *Property, value any) (mistake string)
	// resembles are words that identify a misspelt form of this keyword. Without them a
	// misspelt keyword would be ignored as an annotation of another tool, and have no effect.
	resembles []string
}

// extensions is the table of these keywords. To add one, add an entry, and a field of
// [Property] for what it declares. Only tests change the table.
var extensions = []extension{
	{"x-unique", readUnique, []string{"uniq", noCase}},
	{"x-index", readIndex, []string{"index"}},
	{"x-default", readDefault, nil},
	{"x-search", readSearch, []string{"search", "fulltext"}},
}

// noCase is the value of x-unique that ignores case.
const noCase = "nocase"

func readUnique(p *Property, value any) string {
	switch {
	case value == false:
		return ""
	case value != true && value != noCase:
		return ` must be true, false or "` + noCase + `"`
	case value == noCase && p.Type != "string":
		return `: "` + noCase + `" is only for strings`
	case p.Type != "string" && p.Type != "integer":
		return " is only for strings and integers"
	}
	p.Unique, p.NoCase = true, value == noCase
	return ""
}

func readIndex(p *Property, value any) string {
	on, ok := value.(bool)
	if !ok {
		return " must be true or false"
	}
	p.Index = on
	return ""
}

func readSearch(p *Property, value any) string {
	on, ok := value.(bool)
	switch {
	case !ok:
		return " must be true or false"
	case on && p.Type != "string":
		return " is only for strings"
	}
	p.Search = on
	return ""
}

func readDefault(p *Property, value any) string {
	expression, _ := value.(string)
	if strings.TrimSpace(expression) == "" {
		return ` must be an expression over the caller: a string such as "auth.sub"`
	}
	p.Default = expression
	return ""
}

// readExtensions reads the extensions in a property's schema. column reports whether the
// property has a column, which extensions need. The result says what is wrong with them.
func readExtensions(p *Property, schema map[string]any, column bool) string {
	for _, e := range extensions {
		value, there := schema[e.name]
		if !there {
			continue
		}
		if !column {
			return fmt.Sprintf("%s are only for scalar properties whose names consist of letters, digits and underscores", extensionList())
		}
		if mistake := e.read(p, value); mistake != "" {
			return e.name + mistake
		}
	}
	return ""
}

// isExtension reports whether a keyword is in the table.
func isExtension(key string) bool { return slices.Contains(extensionNames(), key) }

func extensionNames() (names []string) {
	for _, e := range extensions {
		names = append(names, e.name)
	}
	return names
}

// extensionList lists the names in a sentence.
func extensionList() string {
	names := extensionNames()
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// likeExtension reports whether an unknown keyword resembles one in the table.
func likeExtension(key string) bool {
	words := []string{"clusterlite", "access"}
	for _, e := range extensions {
		words = append(words, e.resembles...)
	}
	if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(key), word) }) {
		return true
	}
	_, like := nearest.Name(key, append(extensionNames(), accessKeyword))
	return like
}
