package collections

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// badReference finds a $ref whose target is not in the file: the compiler reports the
// target, but not the place of the reference.
func badReference(root, value any, pointer string) (where, reference string) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := pointer + "/" + escape(key)
			if to, ok := v[key].(string); ok && key == "$ref" && !leads(root, to) {
				return at, to
			}
			if where, reference = badReference(root, v[key], at); where != "" {
				return where, reference
			}
		}
	case []any:
		for i, one := range v {
			if where, reference = badReference(root, one, fmt.Sprintf("%s/%d", pointer, i)); where != "" {
				return where, reference
			}
		}
	}
	return "", ""
}

// leads reports whether a reference is a JSON pointer with a target. Anchors are left to
// the compiler.
func leads(root any, reference string) bool {
	path, local := strings.CutPrefix(reference, "#")
	if !local {
		return false
	}
	if !strings.HasPrefix(path, "/") {
		return true
	}
	_, there := find(root, path)
	return there
}

// at returns the target of a JSON pointer; nil if it has none.
func at(root any, pointer string) any {
	value, _ := find(root, pointer)
	return value
}

// find follows a JSON pointer.
func find(root any, pointer string) (value any, there bool) {
	value = root
	if pointer == "" {
		return value, true
	}
	for _, name := range strings.Split(pointer[1:], "/") {
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		switch v := value.(type) {
		case map[string]any:
			if value, there = v[name]; !there {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}
