package collections

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// values is an immutable set of JSON values, such as those of an enum.
type values struct {
	listed  []any
	strings map[string]bool
	others  map[string]bool // by their canonical text
}

func newValues(listed []any) *values {
	v := &values{listed: listed, strings: map[string]bool{}, others: map[string]bool{}}
	for _, one := range listed {
		if s, ok := one.(string); ok {
			v.strings[s] = true
		} else {
			v.others[string(appendCanonical(nil, one))] = true
		}
	}
	return v
}

func (v *values) has(value any) bool {
	if s, ok := value.(string); ok {
		return v.strings[s]
	}
	return len(v.others) > 0 && v.others[string(appendCanonical(nil, value))]
}

// duplicates returns the indexes of two equal items, or zeros if all differ.
func duplicates(items []any) (i, j int) {
	seen := make(map[string]int, len(items))
	for j, item := range items {
		text := string(appendCanonical(nil, item))
		if i, twice := seen[text]; twice {
			return i, j
		}
		seen[text] = j
	}
	return 0, 0
}

// appendCanonical appends a text that two JSON values share if and only if they are equal
// by the rules of JSON Schema: numbers are compared by value, and the order of members is
// ignored.
func appendCanonical(to []byte, value any) []byte {
	switch value := value.(type) {
	case map[string]any:
		to = append(to, '{')
		for _, name := range slices.Sorted(maps.Keys(value)) {
			to = appendCanonical(to, name)
			to = appendCanonical(to, value[name])
		}
		return append(to, '}')
	case []any:
		to = append(to, '[')
		for _, one := range value {
			to = appendCanonical(to, one)
		}
		return append(to, ']')
	case string:
		to = strconv.AppendInt(append(to, '"'), int64(len(value)), 10)
		return append(append(to, ':'), value...)
	case json.Number:
		return append(append(append(to, '#'), canonicalNumber(string(value))...), ';')
	case bool:
		if value {
			return append(to, 't')
		}
		return append(to, 'f')
	default:
		return append(to, 'n') // null
	}
}

// canonicalNumber returns the same text for equal numbers. A plain integer needs no conversion,
// because JSON allows no leading zeros.
func canonicalNumber(literal string) string {
	if literal != "-0" && !strings.ContainsAny(literal, ".eE") {
		return literal
	}
	r, ok := new(big.Rat).SetString(literal)
	if !ok {
		return literal // out of bounds, so no client can send it
	}
	return r.RatString()
}
