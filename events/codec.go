package events

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers of a record, for ever. CloudEvents 1.0, Kafka protocol binding, binary
// mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
const (
	headerSpecVersion    = "ce_specversion"
	headerID             = "ce_id"
	headerSource         = "ce_source"
	headerType           = "ce_type"
	headerSubject        = "ce_subject"
	headerTime           = "ce_time"
	headerEntityVersion  = "ce_entityversion"
	headerFormat         = "ce_format"
	headerClaims         = "ce_claims"
	headerIdempotencyKey = "ce_idempotencykey"
	headerRequestHash    = "ce_requesthash"
	headerCheckpoint     = "ce_checkpoint"
	headerTraceParent    = "traceparent"
	headerContentType    = "content-type"

	specVersion = "1.0"
	contentJSON = "application/json"
	isTrue      = "true"
	noClaims    = "[]"
)

// written is the order in which headers are written, so that the same event always
// gives the same bytes.
var written = [...]string{
	headerSpecVersion, headerID, headerSource, headerType, headerSubject, headerTime,
	headerEntityVersion, headerFormat, headerClaims, headerIdempotencyKey,
	headerRequestHash, headerCheckpoint, headerTraceParent, headerContentType,
}

// NewMessage gives the Watermill message that stands for the event.
func NewMessage(e Event) *message.Message {
	m := message.NewMessage(e.ID, e.Document)
	m.Metadata = message.Metadata{
		headerSpecVersion:   specVersion,
		headerID:            e.ID,
		headerSource:        e.Source,
		headerType:          e.Type(),
		headerSubject:       e.EntityID,
		headerTime:          FormatTime(e.Time),
		headerEntityVersion: strconv.FormatInt(e.Version, 10),
		headerFormat:        strconv.Itoa(Format),
		headerClaims:        encodeClaims(e.Claims),
		headerContentType:   contentJSON,
	}
	if e.IdempotencyKey != "" {
		m.Metadata[headerIdempotencyKey] = e.IdempotencyKey
		m.Metadata[headerRequestHash] = e.RequestHash
	}
	if e.TraceParent != "" {
		m.Metadata[headerTraceParent] = e.TraceParent
	}
	return m
}

// NewBarrier gives a message that changes nothing but the position. Its append proves
// that the broker which took it still leads the log.
func NewBarrier(id, source string, at time.Time) *message.Message {
	m := message.NewMessage(id, nil)
	m.Metadata = message.Metadata{
		headerSpecVersion: specVersion,
		headerID:          id,
		headerSource:      source,
		headerType:        barrierType,
		headerTime:        FormatTime(at),
		headerFormat:      strconv.Itoa(Format),
	}
	return m
}

// NewCheckpoint gives a barrier that also asks every reader to remember what its read
// model holds right there, for a comparison. Readers that don't know the mark take it
// for a plain barrier.
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
		return `["` + strings.Join(claims, `","`) + `"]` // none has a byte that JSON escapes
	}
	b, err := json.Marshal(claims)
	if err != nil { // a []string can always be marshalled
		panic(err)
	}
	return string(b)
}

// Codec turns Watermill messages into Kafka records, of franz-go or of sarama. [Parse] is
// the way back. It is stateless and safe for concurrent use.
type Codec struct{}

var _ kafka.Marshaler = Codec{}

// Record gives franz-go's record for a message made by [NewMessage], [NewBarrier] or
// [NewCheckpoint].
func (Codec) Record(topic string, m *message.Message) *kgo.Record {
	size := 0
	for _, value := range m.Metadata {
		size += len(value)
	}
	values := make([]byte, 0, size) // of all headers, so that they are one allocation
	headers := make([]kgo.RecordHeader, 0, len(m.Metadata))
	for _, name := range written {
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

// Marshal gives the same record as [Codec.Record], for Watermill's publisher, which uses
// sarama. It never fails.
func (Codec) Marshal(topic string, m *message.Message) (*sarama.ProducerMessage, error) {
	headers := make([]sarama.RecordHeader, 0, len(m.Metadata))
	for _, name := range written {
		if value, ok := m.Metadata[name]; ok {
			headers = append(headers, sarama.RecordHeader{Key: []byte(name), Value: []byte(value)})
		}
	}
	record := &sarama.ProducerMessage{Topic: topic, Headers: headers}
	if key := recordKey(m); key != "" {
		record.Key = sarama.StringEncoder(key)
	}
	if m.Payload != nil {
		record.Value = sarama.ByteEncoder(m.Payload)
	}
	return record, nil
}

// recordKey is the entity that a message is about; empty if it is about none.
func recordKey(m *message.Message) string {
	collection, _, err := parseType(m.Metadata[headerType])
	if err != nil {
		return ""
	}
	return collection + "/" + m.Metadata[headerSubject]
}
