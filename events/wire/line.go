package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/clusterlite/clusterlite/events"
)

// These are the members of a line that are not attributes. They are stored, so they never change.
const (
	memberData   = "data"
	memberBase64 = "data_base64"
)

// attribute returns the name of the CloudEvents attribute that a header holds.
func attribute(header string) string {
	if header == headerContentType {
		return "datacontenttype"
	}
	return strings.TrimPrefix(header, "ce_")
}

// headerOf maps attributes to headers.
var headerOf = func() map[string]string {
	headers := make(map[string]string, len(headerOrder))
	for _, header := range headerOrder {
		headers[attribute(header)] = header
	}
	return headers
}()

// AppendLine appends an event in the JSON format of CloudEvents 1.0, as one line without its
// newline: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
//
// Each attribute is a string with the text of the event's header in the log. The document is
// copied byte by byte. If it contains line breaks, or starts or ends with white space, which
// only documents of foreign producers do, it is written as data_base64. The same event always
// gives the same bytes. Golden files pin them, because lines are stored.
func AppendLine(b []byte, e events.Event) []byte { return appendLine(b, e, nil) }

// AppendPublicLine is [AppendLine] without what readers of entities may not know: claims, the
// idempotency key, the hash of the request, and the actor.
func AppendPublicLine(b []byte, e events.Event) []byte { return appendLine(b, e, confidential) }

var confidential = []string{headerClaims, headerIdempotencyKey, headerRequestHash, headerActor}

func appendLine(b []byte, e events.Event, without []string) []byte {
	h := headersOfMessage(NewMessage(e))
	b = append(b, '{')
	for i, header := range headerOrder {
		if !h.has[i] || header == headerContentType && e.Document == nil || slices.Contains(without, header) {
			continue
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMember(b, attribute(header), h.values[i])
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
	// The source of a foreign producer may be invalid UTF-8, which JSON can't hold. No rule
	// depends on the source.
	b, err := jsontext.AppendQuote(b, strings.ToValidUTF8(value, "\uFFFD"))
	if err != nil { // text can always be quoted
		panic(err)
	}
	return b
}

// fitsLine reports whether a document can be written as the value of a member, on one line,
// and read back with the same bytes.
func fitsLine(document []byte) bool {
	return !bytes.ContainsAny(document, "\r\n") && len(bytes.Trim(document, " \t")) == len(document)
}

// ParseLine parses a line that [AppendLine] wrote, without its newline. It rejects every other
// spelling of the same event, such as another order of members.
func ParseLine(line []byte) (events.Event, error) {
	members, document, err := parseMembers(line)
	if err != nil {
		return events.Event{}, err
	}
	h := headersOf(members)
	format, err := parseFormat(&h)
	if err != nil {
		return events.Event{}, err
	}
	if format > events.Format {
		return events.Event{}, fmt.Errorf("it has log format %d, but this version supports formats up to %d: install a version of ClusterLite that supports format %[1]d", format, events.Format)
	}
	e, err := parseEvent(&h, format, document)
	if err != nil {
		return events.Event{}, err
	}
	if !bytes.Equal(AppendLine(nil, e), line) {
		return events.Event{}, errors.New("the event is not in its canonical form")
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
