//go:build linux

package feedload

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"hash/fnv"
)

// A flow is a digest of the changes that a client has got, byte for byte and in order. How they were
// divided into pieces makes no difference. It costs little, because the processor computes it.
type flow struct {
	bytes  int64
	digest uint32
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	comma      = []byte(",")
)

// after returns the flow with an array of changes, without its brackets.
func (f flow) after(changes []byte) flow {
	if len(changes) == 0 {
		return f
	}
	f.digest = crc32.Update(crc32.Update(f.digest, castagnoli, comma), castagnoli, changes)
	f.bytes += int64(len(changes)) + 1
	return f
}

// A sequence is a digest of the ids of events, in order.
type sequence struct {
	events int64
	digest uint64
}

// marker precedes the id of the event in a change.
var marker = []byte(`"specversion":"1.0","id":"`)

// after returns the sequence with the events of an array of changes.
func (s sequence) after(changes []byte) sequence {
	for {
		i := bytes.Index(changes, marker)
		if i < 0 {
			return s
		}
		changes = changes[i+len(marker):]
		h := fnv.New64a()
		_, _ = fmt.Fprintf(h, "%x", s.digest) // a hash takes everything
		_, _ = h.Write(changes[:36])
		s = sequence{s.events + 1, h.Sum64()}
	}
}
