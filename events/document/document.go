// Package document is a JSON document as ClusterLite stores it: one JSON object,
// compact, in the order and with the number literals that the client wrote, without
// the members that are the server's.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep objects and arrays may nest, the document itself counted. SQLite
// reads no more than 1000 levels; this is far below, and more than documents have. It
// is a rule of storage and never changes.
const MaxDepth = 64

// Errors of documents. All have a text that a client can use.
var (
	// ErrSyntax: the bytes are not JSON as RFC 8259 and I-JSON (RFC 7493) have it:
	// bad syntax, bad UTF-8, or a member twice.
	ErrSyntax = errors.New("not valid JSON")
	// ErrNotObject: the bytes are JSON, but not an object.
	ErrNotObject = errors.New("not a JSON object")
	// ErrTooDeep: objects and arrays nest deeper than [MaxDepth].
	ErrTooDeep = fmt.Errorf("nested more than %d levels deep", MaxDepth)
	// ErrServerMember: a stored document has a member that only the server may set.
	ErrServerMember = errors.New("has a member that only the server may set")
)

// serverMember reports whether a top-level member belongs to the server.
func serverMember(name string) bool {
	switch name {
	case "id", "version", "created_at", "updated_at":
		return true
	}
	return false
}

// A Document is a parsed document. It is immutable; the zero Document is none.
type Document struct {
	bytes []byte
	value map[string]any
	id    any
	hasID bool
}

// Bytes is the compact JSON. Not to be changed.
func (d Document) Bytes() []byte { return d.bytes }

// Value is the document as maps, slices, strings, bools, nil and json.Number. Not to be
// changed.
func (d Document) Value() map[string]any { return d.value }

// ID is what the body gave as its id, and whether it did. It is no part of the
// document.
func (d Document) ID() (id any, given bool) { return d.id, d.hasID }

// Parse reads a body that a client sent. It takes the server's members out: what was read
// can be sent back. The errors are [ErrSyntax], [ErrNotObject] and [ErrTooDeep], wrapped,
// and a [NumberError] for a number whose arithmetic would cost too much.
func Parse(body []byte) (Document, error) {
	d, err := ParseStored(body)
	if err != nil {
		return Document{}, err
	}
	if err := CheckNumbers(d.bytes); err != nil {
		return Document{}, err
	}
	return d, nil
}

// ParseStored reads a document or an entity that is in the log already, or that comes from
// there. It is [Parse] without the bounds of numbers, which earlier versions did not have:
// what was admitted once can always be read. Nothing may compute with its numbers.
func ParseStored(body []byte) (Document, error) {
	d := Document{bytes: append(make([]byte, 0, len(body)), '{'), value: map[string]any{}}
	in := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(in)
	in.Reset(bytes.NewReader(body))
	err := eachMember(in, func(name string, value jsontext.Value) error {
		if serverMember(name) {
			return d.take(name, value)
		}
		return d.add(name, value)
	})
	if err != nil {
		return Document{}, err
	}
	d.bytes = append(d.bytes, '}')
	return d, nil
}

// add appends a member, without spaces.
func (d *Document) add(name string, value jsontext.Value) error {
	if len(d.bytes) > 1 {
		d.bytes = append(d.bytes, ',')
	}
	var err error
	if d.bytes, err = jsontext.AppendQuote(d.bytes, name); err != nil {
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if kind := value.Kind(); kind == '{' || kind == '[' {
		value = bytes.Clone(value) // it is the decoder's
		if err := value.Compact(); err != nil {
			return fmt.Errorf("%w: %w", ErrSyntax, err)
		}
	}
	d.bytes = append(append(d.bytes, ':'), value...)
	d.value[name], err = decode(value)
	return err
}

// decode makes a Go value of valid JSON. Scalars, which most members are, need no decoder.
func decode(value jsontext.Value) (v any, err error) {
	switch value.Kind() {
	case 'n':
		return nil, nil
	case 't':
		return true, nil
	case 'f':
		return false, nil
	case '0':
		return json.Number(value), nil
	case '"':
		var text []byte
		if text, err = jsontext.AppendUnquote(nil, value); err == nil {
			return string(text), nil
		}
	default:
		decoder := json.NewDecoder(bytes.NewReader(value))
		decoder.UseNumber()
		err = decoder.Decode(&v)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return v, nil
}

// take keeps the id, and forgets what else is the server's.
func (d *Document) take(name string, value jsontext.Value) error {
	if name != "id" {
		return nil
	}
	d.hasID = true
	var err error
	d.id, err = decode(value) // a number of any size: none is the id of an entity
	return err
}

// eachMember reads one object, and nothing after it. The value is good until do
// returns.
func eachMember(in *jsontext.Decoder, do func(name string, value jsontext.Value) error) error {
	if in.PeekKind() != '{' {
		return notAnObject(in)
	}
	if _, err := in.ReadToken(); err != nil {
		return syntaxError(in, err)
	}
	for in.PeekKind() == '"' {
		token, err := in.ReadToken()
		if err != nil {
			return syntaxError(in, err)
		}
		name := token.String()
		value, err := in.ReadValue() // checks the names and the UTF-8 within too
		if err != nil {
			return syntaxError(in, err)
		}
		if kind := value.Kind(); (kind == '{' || kind == '[') && depth(value) > MaxDepth-1 {
			return ErrTooDeep
		}
		if err := do(name, value); err != nil {
			return err
		}
	}
	if _, err := in.ReadToken(); err != nil {
		return syntaxError(in, err)
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: unexpected content after the object, at byte %d", ErrSyntax, in.InputOffset())
	}
	return nil
}

func notAnObject(in *jsontext.Decoder) error {
	if err := in.SkipValue(); err != nil {
		return syntaxError(in, err)
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one value", ErrSyntax)
	}
	return ErrNotObject
}

// syntaxError words what the decoder found for a client.
func syntaxError(in *jsontext.Decoder, err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntactic):
		where := ""
		if syntactic.JSONPointer != "" {
			where = " in " + strconv.Quote(string(syntactic.JSONPointer))
		}
		return fmt.Errorf("%w: %w at byte %d%s", ErrSyntax, syntactic.Err, syntactic.ByteOffset, where)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: unexpected end at byte %d", ErrSyntax, in.InputOffset())
	default:
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
}

// depth is how deep valid JSON nests.
func depth(value []byte) int {
	deepest, now := 0, 0
	inString, escaped := false, false
	for _, c := range value {
		switch {
		case escaped:
			escaped = false
		case inString:
			inString, escaped = c != '"', c == '\\'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}
