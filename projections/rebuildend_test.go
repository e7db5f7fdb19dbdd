package projections_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

func TestARebuildIsCancelled(t *testing.T) {
	r := newRig(t)
	_, end := r.many(20)
	n := r.node(t.TempDir(), 1).at(end)
	if n.CancelRebuild() {
		t.Error("got true from a cancellation without a rebuild, want false")
	}
	slow := projections.RebuildOptions{Rate: 1}
	n.start(slow)
	if err := n.StartRebuild(slow); !errors.Is(err, projections.ErrRebuilding) {
		t.Errorf("a second rebuild: got %v, want %v", err, projections.ErrRebuilding)
	}
	if s, any := n.Rebuild(); !any || s.State != projections.RebuildRunning || s.End != end || s.EndedAt != nil {
		t.Errorf("got %+v, want it running towards %d", s, end)
	}
	if !n.CancelRebuild() || n.CancelRebuild() {
		t.Error("got another number of cancellations, want exactly one")
	}
	if s, _ := n.Rebuild(); s.State != projections.RebuildCancelled || s.EndedAt == nil || s.Position >= end {
		t.Errorf("got %+v, want it cancelled before position %d", s, end)
	}
	n.holds("projection.1.db", "projection.db")
	n.start(slow)
	if err := n.close(); err != nil {
		t.Error(err)
	}
	if s, _ := n.Rebuild(); s.State != projections.RebuildCancelled {
		t.Errorf("after Close: got %+v, want it cancelled", s)
	}
	if err := n.StartRebuild(slow); err == nil {
		t.Error("after Close: got no error from a start, want one")
	}
	n.holds("projection.1.db", "projection.db")
}

func TestInvalidRebuildOptions(t *testing.T) {
	n := newRig(t).node(t.TempDir(), 0)
	for _, o := range []projections.RebuildOptions{{Back: true, Keep: true}, {Back: true, From: offline.FromFile("x")}, {Rate: -1}} {
		if err := n.StartRebuild(o); err == nil {
			t.Errorf("%+v: got no error, want one", o)
		}
	}
}

func TestARebuildNeedsTheBrokerAndTheWholeLog(t *testing.T) {
	r := newRig(t)
	_, end := r.many(5)
	n := r.node(t.TempDir(), 0).at(end)
	r.deleteRecords(2)
	if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildFailed || !strings.HasPrefix(s.Error, string(refusal.Gap)) {
		t.Errorf("got %+v, want it failed because of a %s", s, refusal.Gap)
	}
	r.broker.Close()
	if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildFailed || s.Error == "" {
		t.Errorf("no broker: got %+v, want it failed", s)
	}
	n.holds("projection.1.db", "projection.db")
	if got := living(t, n); got != 4 {
		t.Errorf("got %d living users, want 4", got)
	}
}

func TestAStoppedProjection(t *testing.T) {
	r := newRig(t)
	t.Run("at a record of a newer format is rebuilt up to there", func(t *testing.T) {
		p := r.append(user(uuid.NewString(), "Ada", ""))
		r.produceFormat("3")
		n := r.node(t.TempDir(), 0)
		wantRefusal(t, n, refusal.Format)
		if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildDone || s.Position != p {
			t.Errorf("got %+v, want it done at position %d", s, p)
		}
	})
	t.Run("at another topic is not rebuilt while it serves", func(t *testing.T) {
		r := newRig(t)
		n := r.node(t.TempDir(), 1).at(r.append(user(uuid.NewString(), "Ada", ""), user(uuid.NewString(), "Bob", "")))
		n.start(projections.RebuildOptions{Rate: 1})
		for s, _ := n.Rebuild(); s.Position < 1 && deadline(t).Err() == nil; s, _ = n.Rebuild() {
			time.Sleep(time.Millisecond) // polls until the rebuild reads the log
		}
		r.deleteTopic()
		if _, err := r.open("clusterlite.events").Prepare(deadline(t)); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, n, refusal.Topic)
		if s := n.rebuilt(); s.State != projections.RebuildFailed || !strings.Contains(s.Error, string(refusal.Topic)) {
			t.Errorf("got %+v, want it failed because of another topic (%s)", s, refusal.Topic)
		}
		var refused *refusal.Error
		if err := n.StartRebuild(projections.RebuildOptions{}); !errors.As(err, &refused) {
			t.Errorf("another rebuild: got %v, want a refusal", err)
		}
	})
}
