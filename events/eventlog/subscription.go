package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/semaphore"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/fetch"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/tail"
)

const (
	// maxChunks and maxWaitingBytes bound what a subscription reads ahead of its caller.
	maxChunks       = 64
	maxWaitingBytes = 64 << 20
	// maxTakenBytes bounds what one call of Take returns, unless a single fetch brought more.
	maxTakenBytes = 32 << 20
)

// OffsetGoneError is returned if the log does not hold the next record: it was deleted from the
// front, or the log was truncated or created again.
type OffsetGoneError struct {
	// Next is the position of the missing record.
	Next events.Position
}

// Error says what happened.
func (e *OffsetGoneError) Error() string {
	return fmt.Sprintf("the log does not hold the record at offset %d", e.Next)
}

// ReplacedError is returned if the log holds another record in the place of one that was read: the log has
// lost records, and others have taken their place.
type ReplacedError = fetch.ReplacedError

// A Subscription reads each record once, in the order of the log, starting at a position.
// It reconnects by itself. One goroutine at a time may call Take; any goroutine may call Close.
//
// It does not use Watermill's subscriber, which delivers one message at a time and waits for
// each acknowledgement. That takes several goroutine switches for each record, where one fetch
// brings thousands of records.
type Subscription struct {
	log     *Log
	ahead   *semaphore.Weighted
	chunks  chan tail.Chunk
	cancel  context.CancelFunc
	reading sync.WaitGroup
	lost    chan struct{} // closed when the log does not continue from what was read
	reason  error         // why; set before lost is closed
	last    string        // the identity of the record that was read last; empty if unknown; used by read only

	next events.Position // the position of the next record that Take returns; used by Take only
	rest tail.Chunk      // the chunk that Take has begun to return; used by Take only
}

// Subscribe starts to read at a position. last is the identity of the record before it, or empty if that is
// unknown. The broker need not be reachable. The subscription ends when it or the log is closed.
func (l *Log) Subscribe(from events.Position, last string) (*Subscription, error) {
	ctx, cancel := context.WithCancel(l.ctx)
	s := &Subscription{
		log:    l,
		ahead:  semaphore.NewWeighted(maxWaitingBytes),
		chunks: make(chan tail.Chunk, maxChunks),
		cancel: cancel,
		lost:   make(chan struct{}),
		last:   last,
		next:   from,
	}
	s.reading.Go(func() {
		defer close(s.chunks)
		s.read(ctx, int64(from))
	})
	return s, nil
}

// read fetches from an offset on until ctx ends. After any failure it begins again with
// the bootstrap list, so it also finds a cluster whose brokers have all changed their addresses.
func (s *Subscription) read(ctx context.Context, next int64) {
	for ctx.Err() == nil {
		var err error
		if next, err = s.readOn(ctx, next); err != nil && ctx.Err() == nil {
			s.log.config.Logger.Debug("reading the log was interrupted", "error", err)
		}
		select {
		case <-time.After(probeInterval):
		case <-ctx.Done():
		}
	}
}

// readOn fetches with one client until something fails. It returns the next offset to read.
func (s *Subscription) readOn(ctx context.Context, next int64) (int64, error) {
	f, err := s.log.newFetcher(ctx)
	if err != nil {
		return next, err
	}
	defer f.Close()
	for first := true; ; first = false {
		seen := s.log.tail.Seen()
		found, err := f.After(ctx, next, s.last)
		if err != nil {
			// Only the first answer counts, because the client has just asked for the leader. A
			// deposed leader may give the same answer.
			if reason := lossOf(err, next); first && reason != nil {
				s.reason = reason
				close(s.lost)
				<-ctx.Done()
			}
			return next, err
		}
		if len(found) > 0 {
			if err := s.hand(ctx, found); err != nil {
				return next, err
			}
			next = found[len(found)-1].Offset + 1
			s.log.pause(ctx, len(found), next)
		}
		if next >= f.End() {
			if followed := s.log.tail.Follow(ctx, next, seen, s.offer); followed > next {
				next, s.last = followed, ""
			}
		}
	}
}

// lossOf returns what Take reports if an error means that the log does not continue from what was read, and
// nil for any other error.
func lossOf(err error, next int64) error {
	if replaced := (*ReplacedError)(nil); errors.As(err, &replaced) {
		return replaced
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return &OffsetGoneError{Next: events.Position(next)}
	}
	return nil
}

// hand passes the records of a fetch to Take, once there is room for them.
func (s *Subscription) hand(ctx context.Context, found []fetch.Offset) error {
	c := tail.Chunk{Records: make([]events.Record, 0, len(found))}
	for i := range found {
		c.Add(found[i].Record())
	}
	s.last = c.Records[len(c.Records)-1].Identity()
	c.Bytes = min(c.Bytes, maxWaitingBytes)
	if err := s.ahead.Acquire(ctx, c.Bytes); err != nil {
		return err
	}
	select {
	case s.chunks <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offer passes records to Take if there is room for them. It does not block.
func (s *Subscription) offer(c tail.Chunk) bool {
	if !s.ahead.TryAcquire(c.Bytes) {
		return false
	}
	select {
	case s.chunks <- c:
		return true
	default:
		s.ahead.Release(c.Bytes)
		return false
	}
}

// Take waits for a record and returns it with all others that have arrived: up to limit records
// and about 32 MiB. An offset without a record is returned as a record whose content is
// [events.NoRecord], so the position after the last returned record reaches the end of any log.
// A checkpoint is always the last record of a call, so that the state at its position can be
// kept. Take returns an [OffsetGoneError] if the log does not hold the next record, a [ReplacedError] if
// it holds another record than the one that was read last, ctx.Err() if ctx ends, and [ErrClosed]
// after Close.
func (s *Subscription) Take(ctx context.Context, limit int) ([]events.Record, error) {
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	size := s.rest.Bytes
	batch := s.cut(nil, limit)
	for len(batch) < limit && size < maxTakenBytes && !batch[len(batch)-1].Checkpoint {
		select {
		case c, ok := <-s.chunks:
			if !ok {
				return batch, nil
			}
			s.rest = c
			size += c.Bytes
			batch = s.cut(batch, limit)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// cut moves records from s.rest to a batch, up to the limit or a checkpoint.
func (s *Subscription) cut(batch []events.Record, limit int) []events.Record {
	n := min(limit-len(batch), len(s.rest.Records))
	for i, r := range s.rest.Records[:n] {
		if r.Checkpoint {
			n = i + 1
			break
		}
	}
	taken := s.rest.Records[:n:n]
	if s.rest.Records = s.rest.Records[n:]; len(s.rest.Records) == 0 {
		s.ahead.Release(s.rest.Bytes)
		s.rest = tail.Chunk{}
	}
	s.next = taken[n-1].Position()
	if batch == nil {
		return taken
	}
	return append(batch, taken...)
}

// await waits until s.rest holds records. Records that were read before the log lost the next
// one are still valid, so they come first.
func (s *Subscription) await(ctx context.Context) error {
	if len(s.rest.Records) > 0 {
		return nil
	}
	var ok bool
	select {
	case s.rest, ok = <-s.chunks:
		return closedUnless(ok)
	default:
	}
	select {
	case s.rest, ok = <-s.chunks:
		return closedUnless(ok)
	case <-s.lost:
		return s.reason
	case <-ctx.Done():
		return ctx.Err()
	}
}

func closedUnless(open bool) error {
	if !open {
		return ErrClosed
	}
	return nil
}

// Close ends the subscription and waits for its goroutine.
func (s *Subscription) Close() error {
	s.cancel()
	s.reading.Wait()
	return nil
}
