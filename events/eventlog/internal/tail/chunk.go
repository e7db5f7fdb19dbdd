// Package tail passes records that were just appended to those who read the end of the log.
package tail

import "github.com/clusterlite/clusterlite/events"

// recordOverhead estimates the memory of a record without its document, in bytes.
const recordOverhead = 1 << 10

// A Chunk holds records that were read or appended together, in order.
type Chunk struct {
	// Records are those that a subscription has not returned yet.
	Records []events.Record
	// Bytes is the memory of the whole chunk.
	Bytes int64
}

// Add adds a record at the end.
func (c *Chunk) Add(r events.Record) {
	c.Records = append(c.Records, r)
	c.Bytes += int64(len(r.Event.Document)) + recordOverhead
}

// Start and End return the offset of the first record, and the one after the last. A chunk that is
// passed to a [Tail] has a record for each offset between them.
func (c Chunk) Start() int64 { return c.Records[0].Offset }

// End is described at Start.
func (c Chunk) End() int64 { return c.Records[len(c.Records)-1].Offset + 1 }

// From returns the records from an offset on.
func (c Chunk) From(offset int64) Chunk {
	if offset > c.Start() {
		c.Records = c.Records[offset-c.Start():]
	}
	return c
}
