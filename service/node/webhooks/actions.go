package webhooks

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// The errors of actions.
var (
	// ErrUnknown is returned for a webhook that the node does not have.
	ErrUnknown = errors.New("no webhook of this node has this name")
	// ErrNotParked is returned for an event that the webhook has not parked.
	ErrNotParked = errors.New("the webhook has not parked an event with this id")
	// ErrBeyond is returned for a position that the log has not reached.
	ErrBeyond = errors.New("the position is after the end of the log")
)

// attempts is how often an action is tried that another program prevents.
const attempts = 5

// Decide changes the state of a webhook on all nodes. It returns once the log has the state.
func (s *Set) Decide(ctx context.Context, name string, state State, reason string) error {
	return s.change(ctx, name, func(c *control) {
		c.State, c.Reason = state, reason
	})
}

// Rewind has a webhook continue after a position, whatever it has delivered.
func (s *Set) Rewind(ctx context.Context, name string, to events.Position) error {
	if to > s.model.Position() || to < 0 {
		return ErrBeyond
	}
	return s.change(ctx, name, func(c *control) {
		c.Rewind++
		c.RewindTo = to
	})
}

func (s *Set) change(ctx context.Context, name string, change func(*control)) (err error) {
	r, err := s.find(name)
	if err != nil {
		return err
	}
	defer r.nudge()
	for range attempts {
		of, _, err := s.ledger.of(ctx, name)
		if err != nil {
			return err
		}
		c := of.control.record
		change(&c)
		c.At = time.Now().UTC().Truncate(time.Millisecond)
		if err = s.ledger.put(ctx, of.control.id, of.control.version, c); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return errOvertaken
}

// Replay has a webhook deliver parked events again: those with the ids, or all if there are none. It
// returns the number of events.
func (s *Set) Replay(ctx context.Context, name string, ids []string) (replayed int, err error) {
	r, err := s.find(name)
	if err != nil {
		return 0, err
	}
	defer r.nudge()
	of, _, err := s.ledger.of(ctx, name)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(of.deliveries, func(d kept[delivery]) bool { return d.record.State == parked && d.record.Event == id }) {
			return 0, ErrNotParked
		}
	}
	for _, d := range of.deliveries {
		if d.record.State != parked || len(ids) > 0 && !slices.Contains(ids, d.record.Event) {
			continue
		}
		again := d.record
		again.State, again.Attempts, again.First, again.Last = retrying, 0, nil, nil
		switch err := s.ledger.put(ctx, d.id, d.version, again); {
		case errors.Is(err, errOvertaken): // another operator replays it
		case err != nil:
			return replayed, err
		default:
			replayed++
		}
	}
	return replayed, nil
}

// Parked returns the parked events of a webhook, in the order of the log.
func (s *Set) Parked(ctx context.Context, name string) ([]Parked, error) {
	if _, err := s.find(name); err != nil {
		return nil, err
	}
	of, _, err := s.ledger.of(ctx, name)
	if err != nil {
		return nil, err
	}
	all := []Parked{}
	for _, d := range of.deliveries {
		if d := d.record; d.State == parked {
			all = append(all, Parked{d.Event, d.Position, d.Of, d.Entity, d.Attempts, d.First, d.Last, d.Problem})
		}
	}
	slices.SortFunc(all, func(a, b Parked) int { return int(a.Position - b.Position) })
	return all, nil
}

func (s *Set) find(name string) (*runner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, runs := s.runners[name]; runs {
		return r.runner, nil
	}
	return nil, ErrUnknown
}
