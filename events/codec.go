package events

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
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

	// headerRepeated marks, between Unmarshal and ParseMessage, a record in which a
	// header came twice. A Watermill message can't hold both, and a reader that took
	// either would be guessing. The name can't come from a record: Unmarshal sets or
	// clears it after all others.
	headerRepeated = "clusterlite_repeated_header"
	// headerTransaction marks in the same way a record that was produced in a
	// transaction, and headerNoRecord offsets that hold no record.
	headerTransaction = "clusterlite_in_transaction"
	headerNoRecord    = "clusterlite_no_record"
)

// inTransaction and noRecord mark a message that a reader of the log hands to
// [Codec.Unmarshal]. Unmarshal compares the pointers, so no bytes in the log can pass
// for a mark.
var (
	inTransaction = &sarama.RecordHeader{}
	noRecord      = &sarama.RecordHeader{}
)

// InTransaction marks a record as one that was produced in a transaction. Such a record
// is void, whether the transaction was committed, aborted, or is still open.
func InTransaction(record *sarama.ConsumerMessage) {
	record.Headers = append(record.Headers, inTransaction)
}

// NewNoRecord gives the message that stands for offsets that hold no record, the last of
// which is offset. what says why, in words that are the same whenever the log is read: for
// example which transaction a marker ends.
func NewNoRecord(topic string, partition int32, offset int64, what string) *sarama.ConsumerMessage {
	return &sarama.ConsumerMessage{
		Topic: topic, Partition: partition, Offset: offset, Value: []byte(what),
		Headers: []*sarama.RecordHeader{noRecord},
	}
}

// written is the order in which headers are written, so that the same event always
// gives the same bytes.
var written = []string{
	headerSpecVersion, headerID, headerSource, headerType, headerSubject, headerTime,
	headerEntityVersion, headerFormat, headerClaims, headerIdempotencyKey,
	headerRequestHash, headerCheckpoint, headerTraceParent, headerContentType,
}

// names are the headers that nearly all records have, so that each name is kept once.
var names = func() map[string]string {
	all := make(map[string]string, len(written))
	for _, name := range written {
		all[name] = name
	}
	return all
}()

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
		return "[]"
	}
	b, err := json.Marshal(claims)
	if err != nil { // a []string can always be marshalled
		panic(err)
	}
	return string(b)
}

// Codec turns Watermill messages into Kafka records and back. It is stateless and safe
// for concurrent use.
type Codec struct{}

var _ kafka.MarshalerUnmarshaler = Codec{}

// Marshal gives the Kafka record for a message made by [NewMessage], [NewBarrier] or
// [NewCheckpoint].
// It never fails.
func (Codec) Marshal(topic string, m *message.Message) (*sarama.ProducerMessage, error) {
	headers := make([]sarama.RecordHeader, 0, len(m.Metadata))
	for _, name := range written {
		if value, ok := m.Metadata[name]; ok {
			headers = append(headers, sarama.RecordHeader{Key: []byte(name), Value: []byte(value)})
		}
	}
	record := &sarama.ProducerMessage{Topic: topic, Headers: headers}
	if collection, _, err := parseType(m.Metadata[headerType]); err == nil {
		record.Key = sarama.StringEncoder(collection + "/" + m.Metadata[headerSubject])
	}
	if m.Payload != nil {
		record.Value = sarama.ByteEncoder(m.Payload)
	}
	return record, nil
}

// Unmarshal takes any Kafka record at all. It never fails, since Watermill's
// subscriber would then end its consumer in silence: what is wrong with a record shows
// in [ParseMessage].
func (Codec) Unmarshal(record *sarama.ConsumerMessage) (*message.Message, error) {
	metadata := make(message.Metadata, len(record.Headers)+1)
	repeated, transaction, none := "", false, false
	for _, h := range record.Headers {
		switch h {
		case nil:
			continue
		case inTransaction:
			transaction = true
			continue
		case noRecord:
			none = true
			continue
		}
		name, known := names[string(h.Key)] // without a copy of the key
		if !known {
			name = string(h.Key)
		}
		if _, twice := metadata[name]; twice && repeated == "" {
			repeated = name
		}
		metadata[name] = string(h.Value)
	}
	for _, reserved := range []string{headerRepeated, headerTransaction, headerNoRecord} {
		delete(metadata, reserved)
	}
	if repeated != "" {
		metadata[headerRepeated] = repeated
	}
	if transaction {
		metadata[headerTransaction] = isTrue
	}
	if none {
		metadata[headerNoRecord] = isTrue
	}
	m := message.NewMessage(metadata[headerID], record.Value)
	m.Metadata = metadata
	return m, nil
}
