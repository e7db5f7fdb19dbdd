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

// A node whose reads all hang is not ready and accepts no write. It still reports its status.
func TestANodeWhoseReadsHangIsNotReady(t *testing.T) {
	t.Parallel() // it mostly waits
	r := newRig(t)
	n := r.node(t.TempDir(), 0).at(r.append(user(uuid.NewString(), "Ada", "")))
	until(t, "readiness", func() bool { return n.Ready(time.Minute) == nil })
	var held []*reads.Tx
	until(t, "all connections in use", func() bool {
		soon, cancel := context.WithCancel(deadline(t)) // cancelling the context would end the read transaction
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
	until(t, "a node that is not ready", func() bool { return n.Ready(time.Minute) != nil })
	var unreadable *projections.ReadPathError
	if err := n.Stuck(); !errors.As(err, &unreadable) || !errors.As(n.Ready(time.Minute), &unreadable) {
		t.Errorf("got stuck because of %v, ready: %v, want both to report hanging reads", err, n.Ready(time.Minute))
	}
	if s, err := n.Status(deadline(t)); err != nil || s.Position != 1 || s.State != projections.StateFollowing {
		t.Errorf("status: got %+v, %v, want position 1 in state %s", s, err, projections.StateFollowing)
	}
	for _, s := range held {
		_ = s.Close()
	}
	until(t, "a node that is ready again", func() bool { return n.Ready(time.Minute) == nil })
}
