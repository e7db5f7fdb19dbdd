package webhooks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node/roster"
)

// A runner takes care of one webhook on this node: it waits until it may deliver, and delivers.
type runner struct {
	set     *Set
	webhook *Webhook
	watch   watch
	pause   func(attempts int) time.Duration
	nudged  chan struct{} // an operator has changed something
	claimAt time.Time     // when to take over a webhook that no node delivers; zero if one does
	resting time.Time     // until when this node leaves the webhook to others, after a failure
	rests   string        // the failure
	hold    string        // why a session sends nothing for now

	mu     sync.Mutex
	status runnerStatus
}

// runnerStatus is what a runner knows about its webhook.
type runnerStatus struct {
	delivering bool
	problem    string // why it does not deliver although it may
	cursor     events.Position
	lag        int64
	oldest     time.Time
	down       bool
	success    *time.Time
	failure    *Failure
}

func newRunner(set *Set, w *Webhook) *runner {
	t := set.options.Timing
	return &runner{
		set: set, webhook: w, watch: watch{lookup: set.options.Lookup, silence: t.Silence}, pause: pauses(t.RetryMin, t.RetryMax), nudged: make(chan struct{}, 1),
	}
}

// run delivers the webhook whenever this node may, until ctx ends.
func (r *runner) run(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		err := r.once(ctx)
		if ctx.Err() != nil {
			return
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		if problem != said && problem != "" && r.set.model.Ready(r.set.options.ReadyLag) == nil {
			r.set.options.Logger.Warn("this node can't deliver a webhook", "webhook", r.webhook.Name, "error", problem)
		}
		said = problem
		r.update(func(s *runnerStatus) { *s = runnerStatus{problem: problem, success: s.success, failure: s.failure} })
		select {
		case <-time.After(r.set.options.Timing.Poll):
		case <-r.nudged:
		case <-ctx.Done():
		}
	}
}

// nudge has the runner look at the records.
func (r *runner) nudge() {
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

func (r *runner) update(change func(*runnerStatus)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
}

func (r *runner) succeeded(now time.Time) {
	r.update(func(s *runnerStatus) { s.success = &now })
}

func (r *runner) failedWith(problem string, now time.Time) {
	r.update(func(s *runnerStatus) { s.failure = &Failure{At: now, Problem: problem} })
}

// report updates the status of a session.
func (s *session) report() {
	cursor, behind, oldest := s.lag()
	s.update(func(is *runnerStatus) {
		*is = runnerStatus{
			delivering: true, problem: s.hold, cursor: cursor, lag: behind, oldest: oldest, down: s.queue.down(), success: is.success, failure: is.failure,
		}
	})
}

// once delivers if this node may. The error says why it could not although it may have to.
func (r *runner) once(ctx context.Context) error {
	if err := r.set.model.Ready(r.set.options.ReadyLag); err != nil {
		return fmt.Errorf("the node is not ready: %w", err)
	}
	of, at, err := r.set.ledger.of(ctx, r.webhook.Name)
	if err != nil {
		return err
	}
	if of.control.record.State != Active {
		return nil
	}
	if free, err := r.free(ctx, of.progress); err != nil || !free {
		return err
	}
	next, err := r.next(ctx, of, at)
	if err != nil {
		return err
	}
	switch err := r.set.ledger.put(ctx, of.progress.id, of.progress.version, next); {
	case errors.Is(err, errOvertaken):
		r.claimAt = time.Time{}
		return nil
	case err != nil:
		return err
	}
	return r.deliver(ctx)
}

// unannounced says why a node leaves webhooks to others.
const unannounced = "this node can't announce itself to the brokers, so other nodes may consider it dead"

// free reports whether this node may take the webhook over now.
func (r *runner) free(ctx context.Context, p kept[progress]) (bool, error) {
	me, now := r.set.options.Node, time.Now()
	if now.Before(r.resting) {
		return false, errors.New(r.rests)
	}
	announced := r.set.options.Announced()
	if announced.IsZero() {
		return false, nil // the node is starting
	}
	if announced.Add(r.set.options.Timing.Fence).Before(now) {
		return false, errors.New(unannounced)
	}
	if p.version > 0 && p.record.Node == me {
		return true, nil // also that of an earlier process
	}
	if p.version > 0 && p.record.Node != "" {
		if gone, err := r.watch.gone(ctx, p.record.Node); err != nil || !gone {
			r.claimAt = time.Time{}
			if err != nil {
				err = fmt.Errorf("it is not known whether node %s lives: %w", p.record.Node, err)
			}
			return false, err
		}
	}
	if r.claimAt.IsZero() { // so that nodes share the webhooks, and rarely try at once
		r.claimAt = now.Add(time.Duration(rand.Int64N(int64(r.set.options.Timing.Poll))))
	}
	return !now.Before(r.claimAt), nil
}

// next returns the progress that makes this node the one that delivers.
func (r *runner) next(ctx context.Context, of *records, at events.Position) (progress, error) {
	is, err := r.set.model.Status(ctx)
	if err != nil {
		return progress{}, err
	}
	p, c := of.progress.record, of.control.record
	switch {
	case c.Rewind != p.Rewind:
		p.Cursor, p.Rewind = c.RewindTo, c.Rewind
	case of.progress.version == 0 && r.webhook.From == "now":
		p.Cursor = at
	case of.progress.version > 0 && p.Topic != is.TopicID:
		return p, fmt.Errorf("the cursor %d belongs to another log, with the id %s; say where to continue with clusterlite webhooks replay %s --from", p.Cursor, p.Topic, r.webhook.Name)
	}
	j, release, err := r.set.model.Journal()
	if err != nil {
		return p, err
	}
	defer release()
	if start := j.Start(); start > p.Cursor {
		return p, fmt.Errorf("the journal of the node begins at position %d, after the cursor at %d", start, p.Cursor)
	}
	p.Topic, p.Node, p.Session, p.Since = is.TopicID, r.set.options.Node, r.set.session, time.Now().UTC().Truncate(time.Millisecond)
	return p, nil
}

// deliver delivers once the log says that this node does.
func (r *runner) deliver(ctx context.Context) error {
	r.claimAt = time.Time{}
	of, _, err := r.set.ledger.of(ctx, r.webhook.Name)
	if err != nil {
		return err
	}
	cursor := of.progress.record.Cursor
	s := &session{
		runner: r, client: newClient(r.webhook), saved: cursor, savedAt: time.Now(), done: map[string]int64{}, results: make(chan result, r.webhook.Concurrency),
		queue: queue{read: cursor},
	}
	r.set.options.Logger.Info("this node delivers a webhook", "webhook", r.webhook.Name, "position", cursor)
	err = s.deliver(ctx)
	switch {
	case errors.Is(err, errLost):
		r.set.options.Logger.Info("another node delivers a webhook now", "webhook", r.webhook.Name)
		return nil
	case errors.Is(err, errChanged):
		ctx := context.WithoutCancel(ctx)
		_, _ = s.settle(ctx), s.save(ctx, true) // what fails is delivered again
		r.nudge()
		return nil
	}
	s.release(ctx)
	if err != nil && ctx.Err() == nil {
		r.resting, r.rests = time.Now().Add(r.set.options.Timing.Silence), err.Error()
	}
	return err
}

// A watch observes whether the node that delivers a webhook still announces itself. It compares no
// clocks of different nodes: a node is dead once its announcement has not changed for a while.
type watch struct {
	// lookup finds a node in the roster.
	lookup func(ctx context.Context, node string) (e roster.Entry, found bool, err error)
	// silence is how long a node that lives may be silent.
	silence time.Duration

	asked   time.Time // when lookup was called last
	verdict bool      // then
	node    string
	said    time.Time // in the last announcement, by the clock of the node
	since   time.Time // when this process first saw that announcement
}

// gone reports whether a node has stopped, or is dead. An error means that this is not known.
func (w *watch) gone(ctx context.Context, node string) (bool, error) {
	if w.node == node && time.Since(w.asked) < w.silence/lookups {
		return w.verdict, nil
	}
	e, found, err := w.lookup(ctx, node)
	if err != nil {
		return false, err
	}
	w.asked = time.Now()
	if w.node != node || !w.said.Equal(e.At) {
		w.node, w.said, w.since = node, e.At, w.asked
	}
	w.verdict = found && e.State != roster.Running || w.asked.Sub(w.since) >= w.silence
	return w.verdict, nil
}

// lookups is the number of times that a watch asks for a node before it considers it dead.
const lookups = 6
