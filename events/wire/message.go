package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
)

// NewMessage returns the Watermill message for an event. Its metadata are those headers of the record
// that differ from event to event. [Record] adds the others. Up to eight headers fit into a map that
// does not hash its keys.
func NewMessage(e events.Event) *message.Message {
	m := newMessage(e.ID, e.Document, message.Metadata{
		headerSource:        e.Source,
		headerType:          e.Type(),
		headerSubject:       e.EntityID,
		headerTime:          events.FormatTime(e.Time),
		headerEntityVersion: strconv.FormatInt(e.Version, 10),
		headerFormat:        strconv.Itoa(e.Kind.Format()),
		headerClaims:        encodeClaims(e.Claims),
	})
	if e.IdempotencyKey != "" {
		m.Metadata[headerIdempotencyKey] = e.IdempotencyKey
		m.Metadata[headerRequestHash] = e.RequestHash
	}
	if e.Actor != "" {
		m.Metadata[headerActor] = e.Actor
	}
	if e.TraceParent != "" {
		m.Metadata[headerTraceParent] = e.TraceParent
	}
	return m
}

// NewBarrier returns a message that moves the position and changes nothing else. A successful
// append proves that the broker that accepted it still leads the log.
func NewBarrier(id, source string, at time.Time) *message.Message {
	return newMessage(id, nil, message.Metadata{
		headerSource: source,
		headerType:   barrierType,
		headerTime:   events.FormatTime(at),
		headerFormat: barrierFormat,
	})
}

// newMessage does without the channels that [message.NewMessage] makes, on which a consumer would
// acknowledge a message. These messages are only published.
func newMessage(id string, payload []byte, metadata message.Metadata) *message.Message {
	return &message.Message{UUID: id, Metadata: metadata, Payload: payload}
}

// NewCheckpoint returns a barrier that also asks every reader to remember what its read model
// holds at this position, so that read models can be compared. Readers that do not know the
// mark treat it as a plain barrier.
func NewCheckpoint(id, source string, at time.Time) *message.Message {
	m := NewBarrier(id, source, at)
	m.Metadata[headerCheckpoint] = isTrue
	return m
}

func encodeClaims(claims []string) string {
	if len(claims) == 0 {
		return noClaims
	}
	if !slices.ContainsFunc(claims, func(c string) bool { return !validClaim(c) }) {
		return `["` + strings.Join(claims, `","`) + `"]` // no valid claim has a byte that JSON escapes
	}
	b, err := json.Marshal(claims)
	if err != nil { // a []string can always be encoded
		panic(err)
	}
	return string(b)
}

// Record returns the Kafka record for a message made by [NewMessage], [NewBarrier] or
// [NewCheckpoint]. The same message always gives the same bytes.
func Record(topic string, m *message.Message) *kgo.Record {
	h := headersOfMessage(m)
	collection, _, err := parseType(h.get(headerType))
	hasKey := err == nil // barriers have none
	size, count := 0, 0
	if hasKey {
		size += len(collection) + len("/") + len(h.get(headerSubject))
	}
	for i, value := range h.values {
		if h.has[i] {
			size, count = size+len(value), count+1
		}
	}
	text := make([]byte, 0, size) // the key and all header values share one allocation
	r := &kgo.Record{Topic: topic, Headers: make([]kgo.RecordHeader, 0, count), Value: m.Payload}
	if hasKey {
		text = append(append(append(text, collection...), '/'), h.get(headerSubject)...) // as events.Event.Key
		r.Key = text[:len(text):len(text)]
	}
	for i, name := range headerOrder {
		if h.has[i] {
			from := len(text)
			text = append(text, h.values[i]...)
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: text[from:len(text):len(text)]})
		}
	}
	return r
}

// headersOfMessage returns the headers of the record for a message.
func headersOfMessage(m *message.Message) headers {
	h := headersOf(m.Metadata)
	h.set(headerSpecVersion, specVersion)
	h.set(headerID, m.UUID)
	if h.has[headerIndex(headerSubject)] { // barriers have no subject and no content
		h.set(headerContentType, contentJSON)
	}
	return h
}
