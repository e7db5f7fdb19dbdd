package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/linger"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/receipt"
	"github.com/clusterlite/clusterlite/events/expiry"
	"github.com/clusterlite/clusterlite/events/wire"
)

const (
	// groupRecords and groupBytes limit the size of a group of appends. They do not limit its
	// first append.
	groupRecords = 1000
	groupBytes   = 4 << 20
	// maxDelivery bounds how long a group is retried after failures. Up to this limit a group is
	// retried for as long as its callers wait, so that an append survives an election.
	maxDelivery = time.Minute
)

// A publisher is the [message.Publisher] that appends go through. Everything that is published
// while one group is in flight forms the next group, so that the broker syncs and replicates
// once for all of it. Only one group is in flight at a time, so records are appended in the order
// in which they were published.
//
// Watermill's own publisher for Kafka passes each message through six goroutines, and its groups
// are a third of the size that they could have
// (docs/decisions/2026-11-26-appends-in-groups.md).
type publisher struct {
	log    *Log
	called chan struct{} // gets a token when run has something to do
	// writers is the number of callers that are waiting in Publish.
	writers atomic.Int64

	mu      sync.Mutex
	waiting []*publication
	closed  bool
	linger  *linger.Linger
	due     bool // call has signalled that the next group should be taken, and it has not been taken yet

	appender *inprocess.Appender // nil unless the broker runs in the same process
	ended    bool                // the appender takes nothing more
	group    []*publication      // what the appender has taken and not settled
	taken    time.Time           // when it was taken
	refused  []*publication      // what the appender could not append, but the client may
	sending  bool                // run is sending a group through the client

	client      *kgo.Client // used by run only, as are its connections; nil while not connected
	connections *connections
}

var _ message.Publisher = (*publisher)(nil)

// A publication holds the records of one call of Publish.
type publication struct {
	records []*kgo.Record
	bytes   int
	receipt *receipt.Receipt // its context ends the wait of the caller
	// decided is set once it is certain that the records are sent, or that they never will be.
	decided atomic.Bool
	done    chan error
}

func newPublisher(l *Log) *publisher {
	p := &publisher{log: l, called: make(chan struct{}, 1)}
	p.linger = linger.New(l.config.Linger, l.config.Attach != nil, p.lingered)
	return p
}

// Publish appends messages in order. It returns once all in-sync replicas hold them, or, if
// the receipt has Known, when that is closed. It ends with the context of the first message. Errors are those of
// [Log.Append].
func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	r := receipt.Of(messages[0])
	s := &publication{receipt: r, records: make([]*kgo.Record, len(messages)), done: make(chan error, 1)}
	for i, m := range messages {
		s.records[i] = wire.Record(topic, m)
		size := sizeOf(s.records[i])
		if size > MaxRecordBytes {
			return fmt.Errorf("%w: it has %d bytes", ErrTooLarge, size)
		}
		s.bytes += size
	}
	p.writers.Add(1)
	defer p.writers.Add(-1)
	if !p.enqueue(s) {
		return ErrClosed
	}
	ended, expired := expiry.Done(r.Ctx)
	select {
	case err := <-s.done:
		return err
	case <-r.Known:
		return nil
	case <-ended:
	case <-expired:
	}
	if r.Confirmed.Load() != nil {
		return nil
	}
	if s.decided.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: %w", ErrUnreachable, r.Ctx.Err())
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, r.Ctx.Err())
}

// sizeOf estimates the size of a record in the log, in bytes.
func sizeOf(r *kgo.Record) int {
	const overhead = 32
	size := overhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + 4
	}
	return size
}

func (p *publisher) enqueue(s *publication) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.waiting = append(p.waiting, s)
	p.proceed()
	return true
}

// proceed signals with call, unless the waiting publications should wait for others to join them. The
// caller holds the mutex.
func (p *publisher) proceed() {
	if len(p.waiting) == 0 && p.refused == nil && !p.closed {
		return
	}
	if p.due || p.closed || p.refused != nil || !p.lingers() {
		p.call()
	}
}

// lingers reports whether the waiting publications should wait for others. The caller holds the mutex.
func (p *publisher) lingers() bool {
	switch {
	case p.linger.Enough(len(p.waiting)):
		return false
	case p.linger.Waiting():
		return true // until the timer or an append ends it
	case p.group != nil || p.sending:
		return true // until the end of that group, from which the wait counts
	default:
		return p.linger.Begin(len(p.waiting))
	}
}

// lingered ends a linger when its time is over.
func (p *publisher) lingered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.linger.Waiting() {
		p.call()
	}
}

// call signals the appender, or run, to take the waiting publications. The caller holds the mutex.
func (p *publisher) call() {
	p.linger.End()
	p.due = true
	if p.byAppender() && !p.closed {
		p.appender.Wake()
		return
	}
	select {
	case p.called <- struct{}{}:
	default:
	}
}

// Close does nothing, because the publisher ends with its log.
func (p *publisher) Close() error { return nil }

// run sends publications through the client until the log is closed, and then those that are
// still waiting.
func (p *publisher) run() {
	defer p.disconnect()
	for {
		select {
		case <-p.called:
			p.sendAll()
		case <-p.log.ctx.Done():
			p.mu.Lock()
			p.closed = true
			p.mu.Unlock()
			p.closeAppender()
			p.sendAll()
			return
		}
	}
}

func (p *publisher) sendAll() {
	for {
		group, decided := p.takeForClient()
		if len(group) == 0 {
			return
		}
		p.send(group, decided)
		p.mu.Lock()
		p.sending = false
		p.proceed()
		p.mu.Unlock()
	}
}

// noteSent records the outcome of a group for the linger. The caller holds the mutex.
func (p *publisher) noteSent(appends int, took time.Duration, ok bool) {
	p.linger.Sent(linger.Group{Appends: appends, Waiting: len(p.waiting), Writers: int(p.writers.Load()), Took: took, Failed: !ok})
}

// take removes the next group from the waiting publications. The caller holds the mutex.
func (p *publisher) take() (group []*publication) {
	records, bytes, n := 0, 0, 0
	for _, s := range p.waiting {
		if n > 0 && (records+len(s.records) > groupRecords || bytes+s.bytes > groupBytes) {
			break
		}
		n, records, bytes = n+1, records+len(s.records), bytes+s.bytes
	}
	group = p.waiting[:n:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	return group
}

// send appends a group and reports the outcome to each of its publications. decided says that
// their callers already count on it.
func (p *publisher) send(group []*publication, decided bool) {
	if err := p.connect(); err != nil {
		p.mu.Lock()
		p.noteSent(0, 0, false)
		p.mu.Unlock()
		if !decided {
			group, _ = decide(group)
		}
		for _, s := range group {
			s.done <- err
		}
		return
	}
	ctx, cancel := context.WithTimeout(p.log.sending, delivery(group))
	defer cancel()
	sent, records := group, recordsOf(group)
	if !decided {
		sent, records = decide(group)
	}
	if len(sent) == 0 {
		return
	}
	began := time.Now()
	failed := p.produce(ctx, records)
	ended := time.Now()
	p.mu.Lock()
	p.noteSent(len(sent), ended.Sub(began), len(failed) == 0)
	p.mu.Unlock()
	for _, s := range sent {
		var err error
		for _, r := range s.records {
			if err == nil {
				err = failed[r]
			}
		}
		if last := s.records[len(s.records)-1]; err == nil {
			if p.log.config.FetchPause.UntilAppended {
				p.log.demand.UpTo(last.Offset + 1)
			}
			s.receipt.Position = events.Position(last.Offset) + 1
		}
		s.report(err, &ended)
	}
	if len(failed) > 0 {
		// The next group starts from the bootstrap list and with a new producer id, because an
		// abandoned record has left a gap in this producer's sequence.
		p.disconnect()
	}
}

// report ends the wait of the caller, unless it waits for more than an append that succeeded.
func (s *publication) report(err error, at *time.Time) {
	if err == nil && s.receipt.Known != nil {
		s.receipt.Confirmed.Store(at)
		return
	}
	s.done <- appendError(err)
}

// decide returns the publications of a group whose callers have not given up, and their records.
func decide(group []*publication) (sent []*publication, records []*kgo.Record) {
	sent = group[:0:0]
	for _, s := range group {
		if s.decided.CompareAndSwap(false, true) {
			sent = append(sent, s)
		}
	}
	return sent, recordsOf(sent)
}

func recordsOf(group []*publication) (records []*kgo.Record) {
	for _, s := range group {
		records = append(records, s.records...)
	}
	return records
}

// delivery returns how long the most patient publication of the group still waits.
func delivery(group []*publication) (longest time.Duration) {
	for _, s := range group {
		deadline, ok := s.receipt.Ctx.Deadline()
		if !ok {
			return maxDelivery
		}
		longest = max(longest, time.Until(deadline))
	}
	return min(longest, maxDelivery)
}

// produce appends records. It returns the errors of those whose append was not confirmed.
func (p *publisher) produce(ctx context.Context, records []*kgo.Record) (failed map[*kgo.Record]error) {
	for _, result := range p.client.ProduceSync(ctx, records...) {
		if result.Err != nil {
			if failed == nil {
				failed = map[*kgo.Record]error{}
			}
			failed[result.Record] = result.Err
		}
	}
	return failed
}

// appendError classifies the error of an append. After a retry the outcome of the first attempt
// is unknown, so only a record that the broker rejects for its size was certainly not appended.
func appendError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	default:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
}

// connect creates a client if there is none, and waits until a broker has assigned it a producer
// id. It returns an error that wraps [ErrUnreachable] if no broker does.
func (p *publisher) connect() error {
	if p.client != nil {
		return nil
	}
	if p.log.ctx.Err() != nil {
		return ErrClosed
	}
	connections := p.log.config.newConnections(p.log.sending)
	client, err := kgo.NewClient(append(p.log.clientOptions(connections), producerOptions()...)...)
	if err != nil {
		connections.Cut()
		return fmt.Errorf("create a client for appends: %w", err)
	}
	p.client, p.connections = client, connections
	ctx, cancel := context.WithTimeout(p.log.ctx, p.log.config.connectPatience())
	defer cancel()
	if _, _, err := client.ProducerID(ctx); err != nil {
		p.disconnect()
		return unreachable(err)
	}
	return nil
}

func (p *publisher) disconnect() {
	if p.client != nil {
		p.connections.Cut() // otherwise the client would wait for a broker that hangs
		p.client.Close()
		p.client = nil
	}
}

// producerOptions make an acknowledged append durable: all in-sync replicas hold it. By default
// franz-go is an idempotent producer.
func producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(MaxRecordBytes + 1<<10),
		// ProduceSync ends this linger as soon as it has buffered the whole group, so the linger
		// only has to outlast the buffering. The first records of a client wait for its end.
		kgo.ProducerLinger(10 * time.Millisecond),
		// A caller that gave up gets ErrOutcomeUnknown. A record that arrives twice is void.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProduceRequestTimeout(5 * time.Second),
		kgo.RequestTimeoutOverhead(3 * time.Second),
		// During an election the client asks for the leader until the group's time is over.
		kgo.UnknownTopicRetries(60),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}
}
