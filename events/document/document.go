// Package document parses and writes documents: JSON objects as ClusterLite stores them, compact,
// with the order of members and the number literals of the client, and without the members of the
// server.
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

// MaxDepth is the maximum nesting depth of objects and arrays, including the document itself.
// SQLite reads at most 1000 levels. This limit is far below, and above what documents need. It is
// part of the stored format and never changes.
const MaxDepth = 64

// Errors of documents. Their texts are suitable for clients.
var (
	// ErrSyntax: the bytes are not JSON by RFC 8259 and I-JSON (RFC 7493), because of a syntax
	// error, invalid UTF-8, or a duplicate member.
	ErrSyntax = errors.New("not valid JSON")
	// ErrNotObject: the bytes are JSON, but not an object.
	ErrNotObject = errors.New("not a JSON object")
	// ErrTooDeep: objects and arrays are nested more deeply than [MaxDepth].
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

// A Document is a parsed document. It is immutable. The zero Document is no document.
type Document struct {
	bytes []byte
	value map[string]any
	id    any
	hasID bool
}

// Bytes returns the compact JSON. Callers must not change it.
func (d Document) Bytes() []byte { return d.bytes }

// Value returns the document as maps, slices, strings, bools, nil and json.Number. Callers must
// not change it.
func (d Document) Value() map[string]any { return d.value }

// ID returns the id in the body, and whether there was one. It is not part of the document.
func (d Document) ID() (id any, given bool) { return d.id, d.hasID }

// Parse parses a body from a client. It removes the members of the server, so that a client can
// send back what it read. The error wraps [ErrSyntax], [ErrNotObject] or [ErrTooDeep], or is a
// [NumberError] for a number that would make arithmetic too expensive.
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

// ParseStored parses a document or an entity that is in the log, or was read from a model. It is
// [Parse] without the limits of numbers, which earlier versions did not have. So a document that
// was ever admitted can always be read. Callers must not compute with its numbers.
func ParseStored(body []byte) (Document, error) {
	d := Document{bytes: append(make([]byte, 0, len(body)), '{'), value: map[string]any{}}
	in := newDecoder(body)
	defer in.free()
	err := eachMember(in.Decoder, func(name string, value jsontext.Value) error {
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

// add appends a member, without white space.
func (d *Document) add(name string, value jsontext.Value) error {
	if len(d.bytes) > 1 {
		d.bytes = append(d.bytes, ',')
	}
	var err error
	if d.bytes, err = jsontext.AppendQuote(d.bytes, name); err != nil {
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if kind := value.Kind(); kind == '{' || kind == '[' {
		value = bytes.Clone(value) // it is part of the body
		if err := value.Compact(); err != nil {
			return fmt.Errorf("%w: %w", ErrSyntax, err)
		}
	}
	d.bytes = append(append(d.bytes, ':'), value...)
	d.value[name], err = decode(value)
	return err
}

// decode converts valid JSON to a Go value. Most members are scalars, which need no decoder.
func decode(value jsontext.Value) (any, error) {
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
		if bytes.IndexByte(value, '\\') < 0 {
			return string(value[1 : len(value)-1]), nil
		}
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
		}
		return string(text), nil
	}
	return decodeNested(value)
}

// decodeNested converts an object or an array. It is apart from decode, because its result is in
// memory that would be allocated for scalars, too.
func decodeNested(value jsontext.Value) (v any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return v, nil
}

// take keeps the id and drops the other members of the server.
func (d *Document) take(name string, value jsontext.Value) error {
	if name != "id" {
		return nil
	}
	d.hasID = true
	var err error
	d.id, err = decode(value) // any number is accepted, because no number is the id of an entity
	return err
}

// eachMember reads one object, and rejects anything after it. The value is valid until do
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
		value, err := in.ReadValue() // also checks nested names and the UTF-8
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

// syntaxError describes the error of the decoder for a client.
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

// depth returns the nesting depth of valid JSON.
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
