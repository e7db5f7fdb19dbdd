package projections_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// A node that no read comes through is not ready, takes no write, and can still be asked how
// it is.
func TestANodeWhoseReadsHangIsNotReady(t *testing.T) {
	t.Parallel() // most of it is waiting
	r := newRig(t)
	n := r.node(t.TempDir(), 0).at(r.append(user(uuid.NewString(), "Ada", "")))
	until(t, "readiness", func() bool { return n.Ready(time.Minute) == nil })
	var held []*reads.Tx
	until(t, "that all connections are taken", func() bool {
		soon, cancel := context.WithCancel(deadline(t)) // its end would be that of the snapshot
		gaveUp := time.AfterFunc(500*time.Millisecond, cancel)
		s, err := n.BeginRead(soon)
		if err != nil {
			return true
		}
		t.Cleanup(cancel)
		gaveUp.Stop()
		held = append(held, s)
		return false
	})
	until(t, "that it is not ready", func() bool { return n.Ready(time.Minute) != nil })
	var unreadable *projections.ReadPathError
	if err := n.Stuck(); !errors.As(err, &unreadable) || !errors.As(n.Ready(time.Minute), &unreadable) {
		t.Errorf("got %v", err)
	}
	if s, err := n.Status(deadline(t)); err != nil || s.Position != 1 || s.State != projections.StateFollowing {
		t.Errorf("status: got %+v, %v", s, err)
	}
	for _, s := range held {
		_ = s.Close()
	}
	until(t, "that it is ready again", func() bool { return n.Ready(time.Minute) == nil })
}
