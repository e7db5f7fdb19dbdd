package inprocess

import (
	"crypto/rand"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Source has the records that an [Appender] appends, and learns what became of them. Its methods
// must not block. Take and Appended are called alternately, one call at a time. Changed may be
// called at any time.
type Source interface {
	// Take returns the records of the next batch in order, or none. The broker calls it at the
	// last moment, so that the batch contains everything that waits. The batch must be smaller
	// than the topic's max.message.bytes, and its memory must not change before Appended.
	Take() []*kgo.Record
	// Appended reports the outcome of the records that Take returned last. They have consecutive
	// offsets from base on, the same time, and are on disk. An error of package kerr means that
	// the broker stored nothing, except for [kerr.UnknownServerError]. After any other error the
	// outcome is unknown.
	Appended(base int64, at time.Time, err error)
	// Ended is called once when the appender takes nothing more, because it was closed, the broker
	// was stopped, or its disk failed.
	Ended()
	// Changed is called before the broker handles a request of another client that may append
	// records, remove them, or change topics.
	Changed()
}

// An Appender appends records to partition 0 of a topic from within the process. It does without
// the encoding of requests, a client and its goroutines. Its records go through the same checks,
// into the same log, and to the disk before they are acknowledged, as those of all other clients.
//
// kfake accepts records only in requests of a connection. So an appender has a connection that
// carries nothing but a signal: a constant request for a topic whose name only the appender knows.
// When kfake is about to handle it, the broker puts the batch and the real topic in its place.
//
// Safe for concurrent use.
type Appender struct {
	topic  string
	token  string // the name of the topic in the request
	source Source
	conn   *Conn
	detach func()

	last *batch // the batch that was taken last, or nil; guarded by conn.mu
}

// A batch is the records that one call of [Source.Take] returned.
type batch struct {
	at       time.Time
	settled  bool          // its outcome is being reported, or has been; guarded by the mutex of the connection
	reported chan struct{} // closed once the source knows its outcome
}

// errLost means that the connection ended before the broker answered.
var errLost = errors.New("the embedded broker did not answer")

// Attach returns an appender for a topic, which need not exist yet. connect gives the broker its
// end of a connection. Close the appender before the broker.
func (a *Appenders) Attach(topic string, source Source, addr net.Addr, connect func(net.Conn) error) (*Appender, error) {
	one := &Appender{topic: topic, token: rand.Text(), source: source}
	one.detach = func() { a.remove(one) }
	one.conn = newConn(addr, one.request(), one.answered, one.ended)
	a.add(one)
	if err := connect(one.conn); err != nil {
		one.detach()
		return nil, err
	}
	return one, nil
}

// Wake makes the broker call [Source.Take] soon, unless the appender has ended. It does not block.
func (a *Appender) Wake() { a.conn.signal() }

// Close releases the appender. If the outcome of a batch is not known yet, it becomes unknown.
func (a *Appender) Close() { _ = a.conn.Close() }

// signalVersion is the version of the constant request. It is the first whose answer has messages
// of errors.
const signalVersion = 8

// request returns the constant request.
func (a *Appender) request() []byte {
	r := kmsg.NewPtrProduceRequest()
	r.SetVersion(signalVersion)
	r.Acks = -1
	t := kmsg.NewProduceRequestTopic()
	t.Topic = a.token
	t.Partitions = append(t.Partitions, kmsg.NewProduceRequestTopicPartition())
	r.Topics = append(r.Topics, t)
	return kmsg.NewRequestFormatter().AppendRequest(nil, r, 0)
}

// Fill puts the next batch into the request. now is the broker's time. If there is nothing to
// append, Fill returns the answer to the request. It is called in kfake's loop.
func (a *Appender) Fill(request *kmsg.ProduceRequest, now int64) kmsg.Response {
	a.conn.received()
	records := a.source.Take()
	if len(records) == 0 {
		return request.ResponseKind()
	}
	if at := time.UnixMilli(now); !a.begin(at) {
		// The connection ended during Take. Nothing is stored, so the source may try again.
		a.source.Appended(0, at, kerr.NotLeaderForPartition)
		return request.ResponseKind()
	}
	request.Topics[0].Topic = a.topic
	request.Topics[0].Partitions[0].Records = encodeBatch(records, now)
	return nil
}

// answered is called with the answer to a request. Everything that it reports is on disk.
func (a *Appender) answered(answer []byte) {
	const head = 8 // length and correlation id
	response := kmsg.NewPtrProduceResponse()
	response.SetVersion(signalVersion)
	if len(answer) < head || response.ReadFrom(answer[head:]) != nil {
		a.finish(0, errLost)
		return
	}
	if len(response.Topics) == 0 || len(response.Topics[0].Partitions) == 0 {
		return // there was nothing to append
	}
	p := response.Topics[0].Partitions[0]
	if !a.finish(p.BaseOffset, kerr.ErrorForCode(p.ErrorCode)) {
		a.Close() // the broker has refused the request before Fill, because its disk failed
	}
}

// ended is called once when the connection has ended.
func (a *Appender) ended() {
	defer a.detach()
	if b := a.settle(); b != nil {
		defer close(b.reported) // after Ended, because until then the source relies on the appender
		a.source.Appended(0, b.at, errLost)
	}
	a.source.Ended()
}

// begin records that the broker has taken a batch. It returns false if the connection has ended.
func (a *Appender) begin(at time.Time) bool {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	if a.conn.over {
		return false
	}
	a.last = &batch{at: at, reported: make(chan struct{})}
	return true
}

// settle returns the last batch, and the caller must report its outcome. If another caller already
// does so or has done so, or if there is no batch, settle returns nil.
func (a *Appender) settle() *batch {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	if a.last == nil || a.last.settled {
		return nil
	}
	a.last.settled = true
	return a.last
}

// finish reports an outcome. It returns false if no records wait for one.
func (a *Appender) finish(base int64, err error) bool {
	b := a.settle()
	if b == nil {
		return false
	}
	a.source.Appended(base, b.at, err)
	close(b.reported)
	return true
}

// awaitReport waits until the source knows the outcome of everything that was taken before the call.
func (a *Appender) awaitReport() {
	a.conn.mu.Lock()
	last := a.last
	a.conn.mu.Unlock()
	if last != nil {
		<-last.reported
	}
}
