package eventlog

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/fetch"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/tail"
	"github.com/clusterlite/clusterlite/events/wire"
)

// source is the [inprocess.Source] of a log whose broker runs in the same process: appends go to
// the broker and their records to the subscriptions, without a client.
type source struct{ log *Log }

// Take returns the records of the next group.
func (s source) Take() []*kgo.Record { return s.log.publisher.give() }

// Appended passes the records on to the subscriptions first, since those who append also wait for
// what the readers make of their records.
func (s source) Appended(base int64, at time.Time, err error) {
	if err == nil {
		s.log.tail.Appended(chunkOf(s.log.publisher.group, base, at))
	}
	s.log.publisher.settle(base, err)
}

// chunkOf parses the records of a group, as a reader of the log does.
func chunkOf(group []*publication, base int64, at time.Time) tail.Chunk {
	n := 0
	for _, p := range group {
		n += len(p.records)
	}
	c := tail.Chunk{Records: make([]events.Record, 0, n)}
	var headers []wire.Header // reused, because a parsed record does not refer to them
	for _, p := range group {
		for _, r := range p.records {
			r.Offset, r.Timestamp = base, at
			stored := fetch.StoredOf(r, headers[:0])
			headers = stored.Headers
			c.Add(wire.Parse(stored))
			base++
		}
	}
	return c
}

// Ended makes the log use its clients.
func (s source) Ended() {
	s.log.tail.Detach()
	s.log.publisher.detach()
}

// Changed makes the subscriptions fetch.
func (s source) Changed() { s.log.tail.Changed() }

// attach connects the log to the broker in this process, if there is one. If the broker has just
// been stopped, the log uses its clients, and reports the broker as unreachable.
func (l *Log) attach() {
	if l.config.Attach == nil {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.config.connectPatience())
	defer cancel()
	l.tail.Attach() // before the source can be called
	appender, err := l.config.Attach(ctx, l.config.Topic, source{l})
	if err != nil {
		l.tail.Detach()
		l.config.Logger.Debug("the broker in this process accepts no appender", "error", err)
		return
	}
	l.publisher.attach(appender)
}
