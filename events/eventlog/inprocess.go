package eventlog

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An Appender appends the records of a [Source] to a topic of a broker in the same process.
// [embedded.Appender] implements it.
//
// [embedded.Appender]: https://pkg.go.dev/github.com/clusterlite/clusterlite/events/embedded#Appender
type Appender interface {
	// Wake makes the broker call [Source.Take] soon. It does not block.
	Wake()
	// Close releases the appender.
	Close()
}

// A Source has the records that an [Appender] appends, and learns what became of them. Its methods
// do not block. Take and Appended are called alternately, one call at a time.
type Source interface {
	// Take returns the records of the next batch, or none.
	Take() []*kgo.Record
	// Appended reports the outcome of the records that Take returned last: the offset of the first
	// one and the time of all of them, or an error. After an error of package kerr that is
	// retriable, the broker has stored nothing. After any other error the outcome is unknown,
	// unless the batch was too large.
	Appended(base int64, at time.Time, err error)
	// Ended is called once when the appender takes nothing more.
	Ended()
	// Changed is called before the broker handles a request of another client that may append
	// records, remove them, or change topics.
	Changed()
}

// inProcess is the source of a log whose broker runs in the same process: appends go to the broker
// and their records to the subscriptions, without a client.
type inProcess struct{ log *Log }

// Take implements [Source].
func (s inProcess) Take() []*kgo.Record { return s.log.publisher.give() }

// Appended passes the records on to the subscriptions first, since those who append also wait for
// what the readers make of their records.
func (s inProcess) Appended(base int64, at time.Time, err error) {
	if err == nil {
		s.log.tail.appended(base, at, s.log.publisher.group)
	}
	s.log.publisher.settle(base, err)
}

// Ended implements [Source].
func (s inProcess) Ended() {
	s.log.tail.detach()
	s.log.publisher.detach()
}

// Changed implements [Source].
func (s inProcess) Changed() { s.log.tail.changed() }

// attach connects the log to the broker in this process, if there is one. If the broker has just
// been stopped, the log uses its clients, and reports the broker as unreachable.
func (l *Log) attach() {
	if l.config.Attach == nil {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.config.connectPatience())
	defer cancel()
	l.tail.attach() // before the source can be called
	appender, err := l.config.Attach(ctx, l.config.Topic, inProcess{l})
	if err != nil {
		l.tail.detach()
		l.config.Logger.Debug("the broker in this process accepts no appender", "error", err)
		return
	}
	l.publisher.attach(appender)
}
