// Package feedload measures the change feed under many clients. Its clients are lean, so that thousands
// of them fit into one process next to the store.
package feedload

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"net/http"
	"time"
)

// A flow is a digest of the changes that a client has got, byte for byte and in order. How they were
// divided into pieces makes no difference. It costs little, because the processor computes it.
type flow struct {
	bytes  int64
	digest uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// after returns the flow with an array of changes, without its brackets.
func (f flow) after(changes []byte) flow {
	if len(changes) == 0 {
		return f
	}
	f.digest = crc32.Update(crc32.Update(f.digest, castagnoli, []byte(",")), castagnoli, changes)
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

// after returns the sequence with the events of an array of changes. It calls seen with each change.
func (s sequence) after(changes []byte, seen func(change []byte)) sequence {
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
		if seen != nil {
			seen(changes)
		}
	}
}

// A client follows the feed by server-sent events, at whichever node is there.
type client struct {
	node     func() string
	offset   string
	got      flow
	seen     func(change []byte) // may be nil
	arrived  func(offset string) // is called with each new offset
	connects int
}

// follow runs until the context ends.
func (c *client) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.connect(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// connect follows one stream until it ends. The error is a response that no client should get.
func (c *client) connect(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.node()+"/users/changes?live=sse&offset="+c.offset, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil // the node is gone
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusServiceUnavailable {
		return nil
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("from %s: got status %d", c.offset, response.StatusCode)
	}
	c.connects++
	next := c.got // counts when the event is complete
	for lines := bufio.NewReaderSize(response.Body, 32<<10); ; {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return nil // also a line that is too long; the next stream begins with it
		}
		if changes, ok := bytes.CutPrefix(line, []byte("data:[")); ok {
			changes = bytes.TrimSuffix(changes, []byte("]\n"))
			if next = c.got.after(changes); c.seen != nil {
				sequence{}.after(changes, c.seen)
			}
		} else if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			c.got = next
			if offset := string(bytes.TrimSpace(id)); offset != c.offset {
				c.offset = offset
				c.arrived(offset)
			}
		}
	}
}
