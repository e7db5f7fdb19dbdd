package webhooks

import (
	"context"
	"errors"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// finish takes the result of a request, and those that are there already.
func (s *session) finish(ctx context.Context, r result) error {
	for {
		if err := s.take(ctx, r); err != nil {
			return err
		}
		select {
		case r = <-s.results:
		default:
			return nil
		}
	}
}

func (s *session) take(ctx context.Context, r result) error {
	i, now := r.item, time.Now().UTC()
	switch {
	case r.err != nil && unreadable(r.err):
		i.sending = false
		s.queue.sending--
		return r.err
	case r.err != nil:
		r.outcome = outcome{problem: r.err.Error()}
	case r.outcome.delivered:
		s.set.metrics.requests.WithLabelValues(s.webhook.Name, "delivered").Inc()
		s.queue.delivered(i)
		s.delivered = true
		s.succeeded(now)
		if i.id != "" {
			s.done[i.id] = i.version
		}
		return nil
	case s.ending:
		i.sending = false
		s.queue.sending--
		return nil
	}
	s.set.metrics.requests.WithLabelValues(s.webhook.Name, "failed").Inc()
	enough := s.queue.fail(i, r.outcome, now, s.pause, time.Duration(s.webhook.RetryFor))
	s.failedWith(r.outcome.problem, now)
	if r.outcome.gone {
		return s.disable(ctx, r.outcome.problem)
	}
	if enough {
		return s.tolerate(s.park(ctx, i))
	}
	return nil
}

// unreadable reports whether the journal is the reason why an event can't be read. Another node may
// be able to.
func unreadable(err error) bool {
	var damaged *journal.DamagedError
	return errors.Is(err, journal.ErrNotHeld) || errors.Is(err, journal.ErrClosed) || errors.Is(err, projections.ErrNoJournal) || errors.As(err, &damaged)
}

// settle writes the records of events that can't be delivered for now, so that they do not hold the
// cursor, and removes those of delivered events.
func (s *session) settle(ctx context.Context) error {
	if time.Now().Before(s.quiet) {
		return nil
	}
	for id, version := range s.done {
		if err := s.set.ledger.remove(ctx, id, version); err != nil && !errors.Is(err, errOvertaken) {
			return s.tolerate(err)
		}
		delete(s.done, id)
	}
	if !s.queue.down() {
		for _, i := range s.queue.items {
			if i.id == "" && !i.sending && i.Attempts >= recordAfter {
				if err := s.record(ctx, i); err != nil {
					return s.tolerate(err)
				}
			}
		}
	}
	for _, i := range s.queue.stranded() {
		if err := s.record(ctx, i); err != nil {
			return s.tolerate(err)
		}
	}
	return nil
}

// recordAfter is the number of failed attempts after which an event gets a record.
const recordAfter = 3

// record writes the record of an event that has none.
func (s *session) record(ctx context.Context, i *item) error {
	id, err := newID()
	if err != nil {
		return err
	}
	if err := s.set.ledger.put(ctx, id, 0, i.delivery); err != nil {
		return err
	}
	i.id, i.version = id, 1
	return nil
}

// park gives an event up until an operator replays it.
func (s *session) park(ctx context.Context, i *item) (err error) {
	id, version := i.id, i.version
	if id == "" {
		if id, err = newID(); err != nil {
			return err
		}
	}
	d := i.delivery
	d.State = parked
	if err := s.set.ledger.put(ctx, id, version, d); err != nil {
		return err
	}
	s.queue.remove(i)
	s.delivered = true
	s.set.metrics.requests.WithLabelValues(s.webhook.Name, "parked").Inc()
	s.set.options.Logger.Warn("a webhook could not deliver an event and has parked it", "webhook", s.webhook.Name, "event", i.Event, "position", i.Position, "attempts", i.Attempts, "problem", i.Problem)
	return nil
}

// disable ends deliveries until an operator resumes the webhook.
func (s *session) disable(ctx context.Context, reason string) error {
	of, _, err := s.set.ledger.of(ctx, s.webhook.Name)
	if err != nil {
		return s.tolerate(err)
	}
	c := of.control.record
	c.State, c.Reason, c.At = Disabled, reason, time.Now().UTC().Truncate(time.Millisecond)
	if err := s.set.ledger.put(ctx, of.control.id, of.control.version, c); err != nil && !errors.Is(err, errOvertaken) {
		return s.tolerate(err)
	}
	s.set.options.Logger.Warn("a webhook is disabled", "webhook", s.webhook.Name, "reason", reason)
	return errChanged
}

// tolerate keeps the session going after a failed write, which is repeated later. A record that another
// program has changed is read again first.
func (s *session) tolerate(err error) error {
	if err == nil || errors.Is(err, errOvertaken) {
		return nil
	}
	s.quiet = time.Now().Add(s.set.options.Timing.Poll)
	s.set.options.Logger.Debug("a webhook could not write to the log", "webhook", s.webhook.Name, "error", err)
	return nil
}

// save writes the cursor to the log, if it has moved and enough time has passed. Without deliveries it
// moves only with the log, which is not worth a record.
func (s *session) save(ctx context.Context, now bool) error {
	cursor := s.queue.cursor()
	due := s.delivered && (now || time.Since(s.savedAt) >= s.set.options.Timing.Save) || cursor-s.saved >= skipped
	if cursor <= s.saved || !due || time.Now().Before(s.quiet) {
		return nil
	}
	err := s.write(ctx, func(p *progress) { p.Cursor = cursor })
	if errors.Is(err, errOvertaken) {
		return errLost
	}
	if err == nil {
		s.saved, s.savedAt, s.delivered = cursor, time.Now(), false
	}
	return s.tolerate(err)
}

// write changes the progress in the log, as long as it is that of this session.
func (s *session) write(ctx context.Context, change func(*progress)) error {
	of, _, err := s.set.ledger.of(ctx, s.webhook.Name)
	if err != nil {
		return err
	}
	p := of.progress.record
	if p.Session != s.set.session {
		return errOvertaken
	}
	change(&p)
	return s.set.ledger.put(ctx, of.progress.id, of.progress.version, p)
}

// release lets other nodes deliver at once.
func (s *session) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = s.settle(ctx) // what fails is delivered again
	cursor := max(s.queue.cursor(), s.saved)
	if err := s.write(ctx, func(p *progress) { p.Node, p.Cursor = "", cursor }); err != nil {
		s.set.options.Logger.Debug("a webhook was not handed over", "webhook", s.webhook.Name, "error", err)
	}
}

// releaseTimeout bounds the time that the stop of a process waits for the log.
const releaseTimeout = 3 * time.Second

// lag describes what is not delivered yet.
func (s *session) lag() (cursor events.Position, behind int64, oldest time.Time) {
	cursor = max(s.queue.cursor(), s.saved)
	return cursor, int64(max(0, s.set.model.Position()-cursor)), s.queue.oldest()
}
