package events

import "time"

// A Stored is a record as it lies in the topic.
type Stored struct {
	// Offset is the broker's coordinate of the record.
	Offset int64
	// Timestamp is the broker's clock at the append.
	Timestamp time.Time
	Key       []byte
	// Value is nil for a record without one. What [Parse] returns refers to it.
	Value   []byte
	Headers []Header
	// InTransaction says that the record was produced in a transaction. Such a record is
	// void, whether the transaction was committed, aborted, or is still open.
	InTransaction bool
}

// A Header is one header of a record.
type Header struct {
	Name  string
	Value []byte
}

// NoRecordAt gives the record that stands for offsets that hold none, the last of which is
// offset. why says what is there instead, in words that are the same whenever the log is
// read: for example which transaction a marker ends.
func NoRecordAt(offset int64, why string) Record {
	return Record{Offset: offset, Content: NoRecord, id: why}
}

// headers are those of a record that have a meaning. It is no map, because each node
// parses each record.
type headers struct {
	values [len(written)]string
	has    [len(written)]bool
	// repeated is the name of one that came twice. A reader that took either value would
	// be guessing.
	repeated string
}

func (s Stored) headers() (h headers) {
	var others map[string]bool // names without a meaning; usually there are none
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
			h.values[i], h.has[i] = headerText(header.Value), true
		}
	}
	return h
}

// headersOf gives headers that are a map already.
func headersOf(values map[string]string) (h headers) {
	for name, value := range values {
		if i := headerIndex(name); i >= 0 {
			h.values[i], h.has[i] = value, true
		}
	}
	return h
}

// headerText makes a string of a value, without an allocation for those that nearly all
// records have.
func headerText(value []byte) string {
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
	return string(value)
}

// get gives the value of a header; empty if it is missing.
func (h *headers) get(name string) string {
	value, _ := h.lookup(name)
	return value
}

// lookup gives the value of a header, and whether there is one.
func (h *headers) lookup(name string) (value string, found bool) {
	i := headerIndex(name)
	return h.values[i], h.has[i]
}

// headerIndex is the place of a header in written; negative if it has no meaning.
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
	case headerCheckpoint:
		return 11
	case headerTraceParent:
		return 12
	case headerContentType:
		return 13
	}
	return -1
}
