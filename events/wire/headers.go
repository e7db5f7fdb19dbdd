package wire

import "strings"

// The headers of a record. They are stored, so they never change. See CloudEvents 1.0, Kafka
// protocol binding, binary mode:
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
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
	headerActor          = "ce_actor"
	headerCheckpoint     = "ce_checkpoint"
	headerTraceParent    = "traceparent"
	headerContentType    = "content-type"

	specVersion = "1.0"
	contentJSON = "application/json"
	isTrue      = "true"
	noClaims    = "[]"
)

// headerOrder is the order in which headers are written, so that the same event always gives
// the same bytes.
var headerOrder = [...]string{
	headerSpecVersion, headerID, headerSource, headerType, headerSubject, headerTime,
	headerEntityVersion, headerFormat, headerClaims, headerIdempotencyKey,
	headerRequestHash, headerActor, headerCheckpoint, headerTraceParent, headerContentType,
}

const (
	typePrefix  = "clusterlite."
	barrierType = typePrefix + "barrier"
	// barrierFormat is the log format of barriers.
	barrierFormat = "1"
)

// headers holds the headers of a record that have a meaning. It is not a map, because every
// node parses every record.
type headers struct {
	values [len(headerOrder)]string
	has    [len(headerOrder)]bool
	// repeated is the name of a header that occurs more than once, known or not. Such a record
	// is malformed, because a reader would have to guess which value counts.
	repeated string
}

func (s Stored) headers() (h headers) {
	text := newHeaderText(s.Headers)
	var others map[string]bool // headers without a meaning; most records have none
	for _, header := range s.Headers {
		i := headerIndex(header.Name)
		twice := i >= 0 && h.has[i]
		if i < 0 {
			if others == nil {
				others = map[string]bool{}
			}
			twice = others[header.Name]
			others[header.Name] = true
		}
		if twice && h.repeated == "" {
			h.repeated = header.Name
		}
		if i >= 0 {
			h.values[i], h.has[i] = text.of(header.Value), true
		}
	}
	return h
}

// headersOf returns the headers of a map.
func headersOf(values map[string]string) (h headers) {
	for name, value := range values {
		h.set(name, value)
	}
	return h
}

// set sets a header, unless it has no meaning.
func (h *headers) set(name, value string) {
	if i := headerIndex(name); i >= 0 {
		h.values[i], h.has[i] = value, true
	}
}

// sharedText is the maximum size in bytes of a text that the values of a record's headers share. The
// headers of nearly all records are smaller.
const sharedText = 1 << 10

// A headerText converts values to strings. They share one allocation, unless they are large: each of
// them keeps all of it in memory.
type headerText struct{ shared strings.Builder }

func newHeaderText(all []Header) *headerText {
	t, size := &headerText{}, 0
	for _, h := range all {
		if constant(h.Value) == "" {
			size += len(h.Value)
		}
	}
	if size <= sharedText {
		t.shared.Grow(size)
	}
	return t
}

func (t *headerText) of(value []byte) string {
	if text := constant(value); text != "" {
		return text
	}
	if from := t.shared.Len(); len(value) <= t.shared.Cap()-from {
		t.shared.Write(value)
		return t.shared.String()[from:]
	}
	return string(value)
}

// constant returns a value that nearly all records have, or an empty string.
func constant(value []byte) string {
	switch string(value) {
	case specVersion:
		return specVersion
	case contentJSON:
		return contentJSON
	case "1":
		return "1"
	case noClaims:
		return noClaims
	}
	return ""
}

// get returns the value of a header, or an empty string if it is missing.
func (h *headers) get(name string) string {
	value, _ := h.lookup(name)
	return value
}

// lookup returns the value of a header, and whether the record has it.
func (h *headers) lookup(name string) (value string, found bool) {
	i := headerIndex(name)
	return h.values[i], h.has[i]
}

// headerIndex returns the index of a header in headerOrder, or -1 if the header has no meaning.
func headerIndex(name string) int {
	switch name {
	case headerSpecVersion:
		return 0
	case headerID:
		return 1
	case headerSource:
		return 2
	case headerType:
		return 3
	case headerSubject:
		return 4
	case headerTime:
		return 5
	case headerEntityVersion:
		return 6
	case headerFormat:
		return 7
	case headerClaims:
		return 8
	case headerIdempotencyKey:
		return 9
	case headerRequestHash:
		return 10
	case headerActor:
		return 11
	case headerCheckpoint:
		return 12
	case headerTraceParent:
		return 13
	case headerContentType:
		return 14
	}
	return -1
}
