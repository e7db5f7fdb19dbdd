package snapshots

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Retention says which snapshots of each topic [Store.Prune] keeps. A snapshot is kept if
// either of the two limits keeps it.
type Retention struct {
	// Keep is the number of the newest snapshots to keep, at least one.
	Keep int
	// KeepFor is for how long snapshots are kept after they were stored. Zero keeps none for
	// their age.
	KeepFor time.Duration
	// Verified names a snapshot that the caller has just verified. Prune does not verify it
	// again.
	Verified string
}

// expired returns the snapshots that are not kept, by topic id. all is sorted as by [Store.List].
func (r Retention) expired(all []Entry, now time.Time) map[string][]Entry {
	seen, expired := map[string]int{}, map[string][]Entry{}
	for _, e := range all {
		if seen[e.TopicID]++; seen[e.TopicID] <= r.Keep || now.Sub(e.StoredAt) < r.KeepFor {
			continue
		}
		expired[e.TopicID] = append(expired[e.TopicID], e)
	}
	return expired
}

// ErrNoneVerified is returned by [Store.Prune] if no snapshot of a topic passes verification.
var ErrNoneVerified = errors.New("no snapshot passes verification, so none was removed")

// Prune removes the snapshots that the retention does not keep, and returns them. Before it
// removes any snapshot of a topic, it verifies the topic's snapshots from the newest on until one
// passes, and never removes that one: so the newest snapshot that can be restored stays in the
// store, whatever the limits say. If none passes, it removes none of the topic and returns
// [ErrNoneVerified].
func (s *Store) Prune(ctx context.Context, r Retention) (removed []Entry, err error) {
	if r.Keep < 1 {
		return nil, errors.New("at least one snapshot must be kept")
	}
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for topic, expired := range r.expired(all, time.Now()) {
		sound, err := s.newestSound(ctx, all, topic, r.Verified)
		if err != nil {
			return removed, err
		}
		for _, e := range expired {
			if e.Name == sound {
				continue
			}
			if err := s.remove(ctx, e.Name); err != nil {
				return removed, fmt.Errorf("remove %s from %s: %w", e.Name, s.name, err)
			}
			removed = append(removed, e)
		}
	}
	return removed, nil
}

// newestSound returns the name of the newest snapshot of a topic that passes verification.
func (s *Store) newestSound(ctx context.Context, all []Entry, topic, verified string) (string, error) {
	for _, e := range all {
		if e.TopicID != topic {
			continue
		}
		if e.Name == verified {
			return e.Name, nil
		}
		_, _, err := s.Verify(ctx, e.Name, nil)
		if err == nil {
			return e.Name, nil
		}
		if !unusable(err) {
			return "", fmt.Errorf("verify %s before older snapshots are removed: %w", e.Name, err)
		}
	}
	return "", fmt.Errorf("%s, topic id %s: %w", s.name, topic, ErrNoneVerified)
}
