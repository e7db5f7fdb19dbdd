package document

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Members finds the values of members of a JSON object: values[i] is set to that of names[i], or
// to nil if the object has no such member. The object must be valid JSON, such as a rendered
// entity, because Members only looks for the ends of values: it takes a small part of the time of
// [Parse]. The values are parts of the object.
func Members(object []byte, names []string, values []jsontext.Value) {
	clear(values)
	s := scanner{object, bytes.IndexByte(object, '{') + 1}
	for {
		s.space()
		if s.at >= len(object) || object[s.at] != '"' {
			return // the end of the object
		}
		name := s.text()
		s.space()
		s.at++ // the colon
		s.space()
		value := s.value()
		for i, wanted := range names {
			if isName(name, wanted) {
				values[i] = jsontext.Value(value)
			}
		}
		if s.space(); s.at < len(object) && object[s.at] == ',' {
			s.at++
		}
	}
}

// Holds reports whether a JSON array, which must be valid, has a text as one of its items.
func Holds(array jsontext.Value, text string) bool {
	s := scanner{array, bytes.IndexByte(array, '[') + 1}
	for {
		s.space()
		if s.at >= len(array) || array[s.at] == ']' {
			return false
		}
		if item := s.value(); len(item) > 0 && item[0] == '"' && isName(item, text) {
			return true
		}
		if s.space(); s.at < len(array) && array[s.at] == ',' {
			s.at++
		}
	}
}

// Scalar returns a value as [Document.Value] has it.
func Scalar(value jsontext.Value) (any, error) {
	if value.Kind() == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil // most texts have no escapes
	}
	return decode(value)
}

// isName compares the literal of a name with a name.
func isName(literal []byte, name string) bool {
	if len(literal) < 2 {
		return false // cut off
	}
	inner := literal[1 : len(literal)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == name
	}
	plain, err := jsontext.AppendUnquote(nil, literal)
	return err == nil && string(plain) == name
}

// A scanner walks over valid JSON.
type scanner struct {
	in []byte
	at int
}

func (s *scanner) space() {
	for s.at < len(s.in) && (s.in[s.at] == ' ' || s.in[s.at] == '\n' || s.in[s.at] == '\t' || s.in[s.at] == '\r') {
		s.at++
	}
}

// text passes a text, and returns it with its quotes.
func (s *scanner) text() []byte {
	from := s.at
	if rest := s.in[s.at+1:]; len(rest) > 0 {
		// Most texts have no escapes.
		if n := bytes.IndexByte(rest, '"'); n >= 0 && bytes.IndexByte(rest[:n], '\\') < 0 {
			s.at += n + 2
			return s.in[from:s.at]
		}
	}
	for s.at++; s.at < len(s.in) && s.in[s.at] != '"'; s.at++ {
		if s.in[s.at] == '\\' {
			s.at++
		}
	}
	s.at = min(s.at+1, len(s.in))
	return s.in[from:s.at]
}

func (s *scanner) value() []byte {
	if s.at >= len(s.in) {
		return nil
	}
	from := s.at
	switch s.in[s.at] {
	case '"':
		return s.text()
	case '{', '[':
		for depth := 0; s.at < len(s.in); {
			switch s.in[s.at] {
			case '"':
				s.text()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if s.at++; depth == 0 {
				return s.in[from:s.at]
			}
		}
		return s.in[from:s.at]
	}
	for s.at < len(s.in) && bytes.IndexByte(ends, s.in[s.at]) < 0 {
		s.at++
	}
	return s.in[from:s.at]
}

// ends are the bytes that follow a number, true, false or null.
var ends = []byte(",}] \n\t\r")
