package collections

import (
	"bytes"
	"errors"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/clusterlite/clusterlite/events/document"
)

// ErrDefaultsTooLarge is returned for a document that becomes too large with its defaults.
var ErrDefaultsTooLarge = errors.New("the document with its default values is too large")

// A shape holds what one schema declares about members with defaults.
type shape struct {
	// defaults are the members that get a value if they are missing, in the order of the
	// file.
	defaults []defaultMember
	// properties are the shapes of members, and items those of an array's items after the
	// first few.
	properties map[string]*shape
	items      *shape
	itemsFrom  int
	// all are the shapes that apply to the same value: this one, and those reached through
	// $ref and allOf.
	all []*shape
	// reaches reports whether this shape or a nested one has a default.
	reaches bool
}

type defaultMember struct {
	name  string
	value jsontext.Value // compact
}

// Complete returns the document with the declared defaults for missing members: members of
// the document itself, and of existing nested objects and array items. Defaults follow the
// members that were sent. They do not replace null. A complete document is returned
// unchanged. If the result would have more than limit bytes, the error is
// [ErrDefaultsTooLarge]; a limit of zero means none. Other errors are those of [document.Parse].
func (c *Collection) Complete(d document.Document, limit int) (document.Document, error) {
	if c.defaults == nil {
		return d, nil
	}
	f := filler{in: jsontext.NewDecoder(bytes.NewReader(d.Bytes())), max: limit}
	if err := f.fill(c.defaults.all); err != nil {
		return document.Document{}, err
	}
	if f.filled == 0 {
		return d, nil
	}
	return document.Parse(f.out)
}

// A filler copies JSON and inserts defaults.
type filler struct {
	in     *jsontext.Decoder
	out    []byte
	max    int // the maximum size of out in bytes; zero means no limit
	filled int
}

// fill copies the next value, to which these shapes apply.
func (f *filler) fill(shapes []*shape) error {
	reaches := slices.ContainsFunc(shapes, func(s *shape) bool { return s.reaches })
	switch kind := f.in.PeekKind(); {
	case reaches && kind == '{':
		return f.fillObject(shapes)
	case reaches && kind == '[':
		return f.fillArray(shapes)
	}
	value, err := f.in.ReadValue()
	if err != nil {
		return err
	}
	f.out = append(f.out, value...)
	return f.fits()
}

func (f *filler) fits() error {
	if f.max > 0 && len(f.out) > f.max {
		return ErrDefaultsTooLarge
	}
	return nil
}

func (f *filler) fillObject(shapes []*shape) error {
	if _, err := f.in.ReadToken(); err != nil {
		return err
	}
	f.out = append(f.out, '{')
	first, there := true, map[string]bool{}
	name := func(name string) {
		if !first {
			f.out = append(f.out, ',')
		}
		first, there[name] = false, true
		f.out, _ = jsontext.AppendQuote(f.out, name) // a name that was read can be written
		f.out = append(f.out, ':')
	}
	for f.in.PeekKind() == '"' {
		token, err := f.in.ReadToken()
		if err != nil {
			return err
		}
		member := token.String()
		name(member)
		var below []*shape
		for _, s := range shapes {
			if p := s.properties[member]; p != nil {
				below = appendNew(below, p.all...)
			}
		}
		if err := f.fill(below); err != nil {
			return err
		}
	}
	for _, s := range shapes {
		for _, d := range s.defaults {
			if !there[d.name] {
				name(d.name)
				f.out = append(f.out, d.value...)
				f.filled++
			}
		}
	}
	f.out = append(f.out, '}')
	if err := f.fits(); err != nil {
		return err
	}
	_, err := f.in.ReadToken()
	return err
}

func (f *filler) fillArray(shapes []*shape) error {
	if _, err := f.in.ReadToken(); err != nil {
		return err
	}
	f.out = append(f.out, '[')
	for i := 0; f.in.PeekKind() != ']'; i++ {
		if i > 0 {
			f.out = append(f.out, ',')
		}
		var below []*shape
		for _, s := range shapes {
			if s.items != nil && i >= s.itemsFrom {
				below = appendNew(below, s.items.all...)
			}
		}
		if err := f.fill(below); err != nil {
			return err
		}
	}
	f.out = append(f.out, ']')
	_, err := f.in.ReadToken()
	return err
}

func appendNew(shapes []*shape, more ...*shape) []*shape {
	for _, s := range more {
		if !slices.Contains(shapes, s) {
			shapes = append(shapes, s)
		}
	}
	return shapes
}
