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

// NewMessage returns the Watermill message for an event. Its metadata are the headers of the
// record.
func NewMessage(e events.Event) *message.Message {
	m := message.NewMessage(e.ID, e.Document)
	m.Metadata = message.Metadata{
		headerSpecVersion:   specVersion,
		headerID:            e.ID,
		headerSource:        e.Source,
		headerType:          e.Type(),
		headerSubject:       e.EntityID,
		headerTime:          events.FormatTime(e.Time),
		headerEntityVersion: strconv.FormatInt(e.Version, 10),
		headerFormat:        strconv.Itoa(e.Kind.Format()),
		headerClaims:        encodeClaims(e.Claims),
		headerContentType:   contentJSON,
	}
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
	m := message.NewMessage(id, nil)
	m.Metadata = message.Metadata{
		headerSpecVersion: specVersion,
		headerID:          id,
		headerSource:      source,
		headerType:        barrierType,
		headerTime:        events.FormatTime(at),
		headerFormat:      barrierFormat,
	}
	return m
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
	size := 0
	for _, value := range m.Metadata {
		size += len(value)
	}
	values := make([]byte, 0, size) // all header values share one allocation
	headers := make([]kgo.RecordHeader, 0, len(m.Metadata))
	for _, name := range headerOrder {
		if value, ok := m.Metadata[name]; ok {
			from := len(values)
			values = append(values, value...)
			headers = append(headers, kgo.RecordHeader{Key: name, Value: values[from:len(values):len(values)]})
		}
	}
	r := &kgo.Record{Topic: topic, Headers: headers, Value: m.Payload}
	if key := recordKey(m); key != "" {
		r.Key = []byte(key)
	}
	return r
}

// recordKey returns the record's key, which names the entity: see [events.Event.Key]. Barriers
// have no key.
func recordKey(m *message.Message) string {
	collection, _, err := parseType(m.Metadata[headerType])
	if err != nil {
		return ""
	}
	return collection + "/" + m.Metadata[headerSubject]
}
