package wire

import "time"

// A Stored is a record as the topic holds it.
type Stored struct {
	// Offset is the broker's coordinate of the record.
	Offset int64
	// Timestamp is the time of the append by the broker's clock.
	Timestamp time.Time
	Key       []byte
	// Value is nil if the record has no value. The result of [Parse] refers to this memory.
	Value   []byte
	Headers []Header
	// InTransaction reports that a transaction produced the record. Such a record is void,
	// whether the transaction was committed, was aborted, or is still open.
	InTransaction bool
}

// A Header is one header of a record.
type Header struct {
	Name  string
	Value []byte
}
