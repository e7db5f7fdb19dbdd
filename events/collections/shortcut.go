package collections

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A shortcut accepts valid values without the schema library, which allocates memory for each value
// that it visits. It only ever says that a value is certainly valid. The library decides about all
// others, and is alone in explaining what is wrong with them.
//
// A shortcut exists for schemas whose keywords are all among those of [newShortcut], as those of most
// collections are. It is immutable.
type shortcut struct {
	types      []string // of which the value has one; nil means any
	required   []string
	properties map[string]*shortcut
	closed     bool // no other members are allowed
	items      *shortcut
	enum       *values
	format     func(any) error
	pattern    *regexp.Regexp
	// length, count and size are the bounds of the length of a string, the items of an array and the
	// value of a number.
	length, count, size bounds
}

// bounds are the least and the greatest allowed value.
type bounds struct{ least, greatest int64 }

func (b bounds) include(n int64) bool { return b.least <= n && n <= b.greatest }

var unbounded = bounds{math.MinInt64, math.MaxInt64}

// newShortcut returns the shortcut of a schema that the library can compile, or nil if it has none.
func newShortcut(schema any) *shortcut {
	keywords, ok := schema.(map[string]any)
	if !ok {
		return nil
	}
	s := &shortcut{length: unbounded, count: unbounded, size: unbounded}
	for keyword, value := range keywords {
		if !s.read(keyword, value) {
			return nil
		}
	}
	return s
}

// read adds a keyword. It returns false for one that the shortcut does not have.
func (s *shortcut) read(keyword string, value any) (ok bool) {
	switch keyword {
	case "$schema", "$comment", "title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples":
		return true
	case "type":
		s.types, ok = texts(value)
	case "required":
		s.required, ok = texts(value)
	case "properties":
		return s.readProperties(value)
	case "additionalProperties":
		allowed, isBool := value.(bool)
		s.closed, ok = !allowed, isBool
	case "items":
		s.items = newShortcut(value)
		ok = s.items != nil
	case "enum":
		var listed []any
		if listed, ok = value.([]any); ok {
			s.enum = newValues(listed)
		}
	case "format":
		name, _ := value.(string)
		s.format, ok = formatChecks[name]
	case "pattern":
		text, _ := value.(string)
		var err error
		s.pattern, err = regexp.Compile(text)
		ok = err == nil
	case "minLength":
		s.length.least, ok = plainInteger(value)
	case "maxLength":
		s.length.greatest, ok = plainInteger(value)
	case "minItems":
		s.count.least, ok = plainInteger(value)
	case "maxItems":
		s.count.greatest, ok = plainInteger(value)
	case "minimum":
		s.size.least, ok = plainInteger(value)
	case "maximum":
		s.size.greatest, ok = plainInteger(value)
	default:
		return strings.HasPrefix(keyword, "x-") // the library ignores them
	}
	return ok
}

func (s *shortcut) readProperties(value any) bool {
	named, ok := value.(map[string]any)
	s.properties = make(map[string]*shortcut, len(named))
	for name, schema := range named {
		s.properties[name] = newShortcut(schema)
		ok = ok && s.properties[name] != nil
	}
	return ok
}

// texts returns a string, or the strings of an array.
func texts(value any) (all []string, ok bool) {
	if one, ok := value.(string); ok {
		return []string{one}, true
	}
	listed, ok := value.([]any)
	for _, one := range listed {
		text, isText := one.(string)
		all, ok = append(all, text), ok && isText
	}
	return all, ok
}

// plainInteger returns the value of a number without a fraction or an exponent that fits in 64 bits.
func plainInteger(value any) (n int64, ok bool) {
	literal, _ := value.(json.Number)
	n, err := strconv.ParseInt(string(literal), 10, 64)
	return n, err == nil
}

// accepts reports whether a document is certainly valid, and takes no more steps than every document
// may take. A nil shortcut accepts nothing.
func (s *shortcut) accepts(document map[string]any) bool {
	left := freeSteps
	return s != nil && s.accept(document, &left)
}

func (s *shortcut) accept(value any, left *int) bool {
	if *left -= stepsOf(value); *left < 0 {
		return false
	}
	if s.enum != nil && !s.enum.has(value) || s.format != nil && s.format(value) != nil {
		return false
	}
	switch value := value.(type) {
	case map[string]any:
		return s.allows("object") && s.acceptMembers(value, left)
	case []any:
		return s.allows("array") && s.acceptItems(value, left)
	case string:
		return s.allows("string") && s.acceptText(value)
	case json.Number:
		n, plain := plainInteger(value)
		return plain && (s.allows("integer") || s.allows("number")) && s.size.include(n)
	case bool:
		return s.allows("boolean")
	case nil:
		return s.allows("null")
	}
	return false
}

func (s *shortcut) allows(kind string) bool { return s.types == nil || slices.Contains(s.types, kind) }

func (s *shortcut) acceptMembers(object map[string]any, left *int) bool {
	for _, name := range s.required {
		if _, has := object[name]; !has {
			return false
		}
	}
	for name, value := range object {
		switch p := s.properties[name]; {
		case p == nil && s.closed, p != nil && !p.accept(value, left):
			return false
		}
	}
	return true
}

func (s *shortcut) acceptItems(array []any, left *int) bool {
	if !s.count.include(int64(len(array))) {
		return false
	}
	for _, item := range array {
		if s.items != nil && !s.items.accept(item, left) {
			return false
		}
	}
	return true
}

func (s *shortcut) acceptText(text string) bool {
	if s.length != unbounded && !s.length.include(int64(utf8.RuneCountInString(text))) {
		return false
	}
	return s.pattern == nil || s.pattern.MatchString(text)
}
