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

// headers are those of a record by their names.
type headers struct {
	values map[string]string
	// repeated is the name of one that came twice. A reader that took either value would
	// be guessing.
	repeated string
}

func (s Stored) headers() headers {
	h := headers{values: make(map[string]string, len(s.Headers))}
	for _, header := range s.Headers {
		if _, twice := h.values[header.Name]; twice && h.repeated == "" {
			h.repeated = header.Name
		}
		h.values[header.Name] = string(header.Value)
	}
	return h
}

// get gives the value of a header; empty if it is missing.
func (h headers) get(name string) string { return h.values[name] }
