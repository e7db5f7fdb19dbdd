package document

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendSelected appends a JSON object with only the named members of another object, in the
// order of that object. The error is [ErrSyntax] if it is not an object.
func AppendSelected(to, object []byte, names []string) ([]byte, error) {
	in := jsontext.NewDecoder(bytes.NewReader(object))
	to = append(to, '{')
	first := true
	err := eachMember(in, func(name string, value jsontext.Value) error {
		if !slices.Contains(names, name) {
			return nil
		}
		if !first {
			to = append(to, ',')
		}
		first = false
		var err error
		if to, err = jsontext.AppendQuote(to, name); err != nil {
			return fmt.Errorf("%w: %w", ErrSyntax, err)
		}
		to = append(append(to, ':'), value...)
		return nil
	})
	return append(to, '}'), err
}
