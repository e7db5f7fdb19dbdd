package events

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json/jsontext"
)

// The members of a line that are not attributes, for ever.
const (
	memberData   = "data"
	memberBase64 = "data_base64"
)

// attribute is the CloudEvents name of what a header holds.
func attribute(header string) string {
	if header == headerContentType {
		return "datacontenttype"
	}
	return strings.TrimPrefix(header, "ce_")
}

// headerOf finds the header for each attribute.
var headerOf = func() map[string]string {
	headers := make(map[string]string, len(written))
	for _, header := range written {
		headers[attribute(header)] = header
	}
	return headers
}()

// AppendLine appends the event in the JSON format of CloudEvents 1.0, as one line
// without its end: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
//
// Each attribute is a string, the text of the event's header in the log. The document
// follows as it is, byte by byte. Where that can't be within a line (somebody else
// wrote it with line breaks, or spaces around it), it follows as data_base64. The same
// event always gives the same bytes; golden files pin them, since lines are stored.
func AppendLine(b []byte, e Event) []byte {
	headers := NewMessage(e).Metadata
	b = append(b, '{')
	for i, header := range written {
		value, ok := headers[header]
		if !ok || header == headerContentType && e.Document == nil {
			continue
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMember(b, attribute(header), value)
	}
	switch {
	case e.Document == nil:
	case fitsLine(e.Document):
		b = append(b, `,"`+memberData+`":`...)
		b = append(b, e.Document...)
	default:
		b = append(b, ',')
		b = appendMember(b, memberBase64, base64.StdEncoding.EncodeToString(e.Document))
	}
	return append(b, '}')
}

func appendMember(b []byte, name, value string) []byte {
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, `":`...)
	// A foreign writer's source may be no text, which has no place in JSON, nor in any
	// rule of ours.
	b, err := jsontext.AppendQuote(b, strings.ToValidUTF8(value, "\uFFFD"))
	if err != nil { // text can always be quoted
		panic(err)
	}
	return b
}

// fitsLine reports whether a document can be the value of a member, on one line, and
// be read back with the same bytes.
func fitsLine(document []byte) bool {
	return !bytes.ContainsAny(document, "\r\n") && len(bytes.Trim(document, " \t")) == len(document)
}

// ParseLine reads a line that [AppendLine] wrote, without its end, and takes no other:
// not another order of members, not another spelling, nothing more and nothing less.
func ParseLine(line []byte) (Event, error) {
	members, document, err := parseMembers(line)
	if err != nil {
		return Event{}, err
	}
	h := headersOf(members)
	format, err := parseFormat(&h)
	if err != nil {
		return Event{}, err
	}
	if format > Format {
		return Event{}, fmt.Errorf("it has log format %d, but this version supports formats up to %d: install a version of ClusterLite that supports format %[1]d", format, Format)
	}
	e, err := parseEvent(&h, document)
	if err != nil {
		return Event{}, err
	}
	if !bytes.Equal(AppendLine(nil, e), line) {
		return Event{}, errors.New("the event is not in its canonical form")
	}
	return e, nil
}

func parseMembers(line []byte) (headers message.Metadata, document []byte, err error) {
	in := jsontext.NewDecoder(bytes.NewReader(line))
	if in.PeekKind() != '{' {
		return nil, nil, errors.New("not a JSON object")
	}
	if _, err := in.ReadToken(); err != nil {
		return nil, nil, err
	}
	headers = message.Metadata{}
	for in.PeekKind() == '"' {
		token, err := in.ReadToken()
		if err != nil {
			return nil, nil, err
		}
		name := token.String()
		value, err := in.ReadValue()
		if err != nil {
			return nil, nil, err
		}
		if name == memberData {
			document = bytes.Clone(value)
			continue
		}
		text, err := parseText(name, value)
		if err != nil {
			return nil, nil, err
		}
		switch header, known := headerOf[name]; {
		case known:
			headers[header] = text
		case name == memberBase64:
			if document, err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
		default:
			return nil, nil, fmt.Errorf("unknown attribute %q", clip(name))
		}
	}
	if _, err := in.ReadToken(); err != nil {
		return nil, nil, err
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("unexpected content after the object")
	}
	return headers, document, nil
}

func parseText(name string, value jsontext.Value) (string, error) {
	if value.Kind() != '"' {
		return "", fmt.Errorf("%s is not a string", clip(name))
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return string(text), err
}
