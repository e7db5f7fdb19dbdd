package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// A session is the time during which this node delivers a webhook. It belongs to one goroutine, except
// for the requests that it starts.
type session struct {
	*runner
	client *http.Client
	queue  queue
	// known are the records when they were read last, at the position known.
	records *records
	known   events.Position
	// saved is the cursor in the log, and savedAt when it was written. delivered reports that
	// something was delivered since.
	saved     events.Position
	savedAt   time.Time
	delivered bool
	// done are the versions of the records of delivered events that are not removed yet.
	done map[string]int64
	// ending reports that requests are or will be cancelled, so that their failures say nothing.
	ending bool
	// quiet is until when nothing is written to the log, after a failure.
	quiet   time.Time
	results chan result
}

// A result is the end of one request.
type result struct {
	item    *item
	outcome outcome
	err     error // the event could not be read
}

var (
	// errLost ends a session because another node delivers, or another session of this node.
	errLost = errors.New("another node delivers the webhook")
	// errChanged ends a session because an operator, or the endpoint, has changed what to do.
	errChanged = errors.New("the state of the webhook has changed")
)

// maxScan is the number of positions that are searched for events at a time, and skipped is the
// number of positions without events after which the cursor is written to the log.
const (
	maxScan = 20_000
	skipped = 10_000
)

// finishTimeout is the time that requests get to complete after a session was asked to end. The
// events of requests that are cancelled are sent again, although the endpoint may have accepted them.
const finishTimeout = 2 * time.Second

// deliver delivers until ctx ends or the session has to end. It returns [errLost], [errChanged], or
// what prevents the node from delivering.
func (s *session) deliver(ctx context.Context) (err error) {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishTimeout, cancel) })()
	defer func() {
		lost := errors.Is(err, errLost)
		if s.ending = lost || ctx.Err() != nil; lost {
			cancel()
		}
		for s.queue.sending > 0 {
			err = errors.Join(err, s.finish(context.WithoutCancel(ctx), <-s.results))
		}
		cancel()
		s.client.CloseIdleConnections()
	}()
	for ctx.Err() == nil {
		if err := s.refresh(ctx); err != nil {
			return err
		}
		if err := s.fill(ctx); err != nil {
			return err
		}
		if err := s.settle(ctx); err != nil {
			return err
		}
		wake := s.dispatch(requests)
		if err := s.save(ctx, false); err != nil {
			return err
		}
		s.report()
		if err := s.wait(ctx, wake); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// refreshes is how often the records may be read in the time of a poll.
const refreshes = 10

// refresh reads the records if they may have changed, and reacts to what others wrote.
func (s *session) refresh(ctx context.Context) error {
	of, at, err := s.set.ledger.recent(ctx, s.webhook.Name, s.set.options.Timing.Poll/refreshes)
	if err != nil || at == s.known {
		return err
	}
	s.records, s.known = of, at
	if of.progress.record.Session != s.set.session {
		return errLost
	}
	if c := of.control.record; c.State != Active || c.Rewind != of.progress.record.Rewind {
		return errChanged
	}
	recorded := map[string]*item{}
	for _, i := range s.queue.items {
		recorded[i.id] = i
	}
	for _, d := range of.deliveries {
		known := recorded[d.id]
		switch {
		case s.done[d.id] != 0:
			s.done[d.id] = d.version // delivered, but the log does not know it yet
		case d.record.State == retrying && known == nil:
			s.queue.add(&item{delivery: d.record, id: d.id, version: d.version}) // a replay
		case d.record.State == retrying && known.version < d.version:
			known.version = d.version
		}
	}
	return nil
}

// fill reads the journal.
func (s *session) fill(ctx context.Context) error {
	tail := s.set.model.Position()
	if s.queue.read >= tail || s.queue.full() {
		return nil
	}
	j, release, err := s.set.model.Journal()
	if err != nil {
		return err
	}
	defer release()
	errFull := errors.New("the queue is full")
	until := min(tail, s.queue.read+maxScan)
	reached, err := j.Each(ctx, s.queue.read, until, func(e *journal.Entry) error {
		wanted, err := s.webhook.wants(e)
		if err != nil || !wanted {
			return err
		}
		if s.queue.full() {
			return errFull
		}
		s.queue.add(&item{appended: e.Appended, delivery: delivery{
			Kind: kindDelivery, Webhook: s.webhook.Name, Event: e.Event.ID, Position: e.Position, Of: e.Event.Collection, Entity: e.Event.EntityID, State: retrying,
		}})
		return nil
	})
	s.queue.read = max(s.queue.read, reached)
	if err != nil && !errors.Is(err, errFull) {
		return fmt.Errorf("read the journal: %w", err)
	}
	return nil
}

// dispatch starts requests. It returns when to start the next ones.
func (s *session) dispatch(ctx context.Context) (wake time.Time) {
	now := time.Now()
	if s.set.options.Announced().Add(s.set.options.Timing.Fence).Before(now) {
		// Other nodes may soon consider this one to be dead.
		s.hold = unannounced
		return now.Add(s.set.options.Timing.Poll)
	}
	s.hold = ""
	send, wake := s.queue.due(now, s.webhook.Concurrency)
	for _, i := range send {
		s.queue.begun(i)
		go func() { s.results <- s.attempt(ctx, i) }()
	}
	return wake
}

// attempt sends one event. It runs in a goroutine of its own.
func (s *session) attempt(ctx context.Context, i *item) result {
	body, err := s.body(i)
	if err != nil {
		return result{item: i, err: err}
	}
	return result{item: i, outcome: s.webhook.send(ctx, s.client, i.Event, s.set.options.Agent, body)}
}

func (s *session) body(i *item) ([]byte, error) {
	j, release, err := s.set.model.Journal()
	if err != nil {
		return nil, err
	}
	defer release()
	e, err := j.At(i.Position)
	if err != nil {
		return nil, err
	}
	if e.Event.ID != i.Event {
		return nil, fmt.Errorf("position %d of the journal has another event", i.Position)
	}
	return s.set.options.Feed.Append(nil, &e), nil
}

// wait waits until something may have to be done.
func (s *session) wait(ctx context.Context, wake time.Time) error {
	pause := s.set.options.Timing.Poll
	if !wake.IsZero() {
		pause = max(0, min(pause, time.Until(wake)))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	grown := make(chan struct{})
	if !s.queue.full() {
		waiting, cancel := context.WithCancel(ctx)
		defer cancel()
		next := s.queue.read + 1
		go func() {
			if s.set.model.WaitFor(waiting, next) == nil {
				close(grown)
			}
		}()
	}
	select {
	case r := <-s.results:
		return s.finish(ctx, r)
	case <-grown:
	case <-timer.C:
	case <-s.nudged:
	case <-ctx.Done():
	}
	return nil
}
