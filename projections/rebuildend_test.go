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
		t.Error("it cancelled nothing")
	}
	slow := projections.RebuildOptions{Rate: 1}
	n.start(slow)
	if err := n.StartRebuild(slow); !errors.Is(err, projections.ErrRebuilding) {
		t.Errorf("a second one: %v", err)
	}
	if s, any := n.Rebuild(); !any || s.State != projections.RebuildRunning || s.End != end || s.EndedAt != nil {
		t.Errorf("it is %+v", s)
	}
	if !n.CancelRebuild() || n.CancelRebuild() {
		t.Error("it was not cancelled just once")
	}
	if s, _ := n.Rebuild(); s.State != projections.RebuildCancelled || s.EndedAt == nil || s.Position >= end {
		t.Errorf("it is %+v", s)
	}
	n.holds("projection.1.db", "projection.db")
	n.start(slow)
	if err := n.close(); err != nil {
		t.Error(err)
	}
	if s, _ := n.Rebuild(); s.State != projections.RebuildCancelled {
		t.Errorf("after Close it is %+v", s)
	}
	if err := n.StartRebuild(slow); err == nil {
		t.Error("one started after Close")
	}
	n.holds("projection.1.db", "projection.db")
}

func TestOptionsThatCannotBe(t *testing.T) {
	n := newRig(t).node(t.TempDir(), 0)
	for _, o := range []projections.RebuildOptions{{Back: true, Keep: true}, {Back: true, From: offline.FromFile("x")}, {Rate: -1}} {
		if err := n.StartRebuild(o); err == nil {
			t.Errorf("%+v was started", o)
		}
	}
}

func TestARebuildNeedsTheBrokerAndTheWholeLog(t *testing.T) {
	r := newRig(t)
	_, end := r.many(5)
	n := r.node(t.TempDir(), 0).at(end)
	r.deleteRecords(2)
	if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildFailed || !strings.HasPrefix(s.Error, string(refusal.Gap)) {
		t.Errorf("it ended with %+v", s)
	}
	r.broker.Close()
	if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildFailed || s.Error == "" {
		t.Errorf("it ended with %+v", s)
	}
	n.holds("projection.1.db", "projection.db")
	if got := living(t, n); got != 4 {
		t.Errorf("%d live", got)
	}
}

func TestAStoppedProjection(t *testing.T) {
	r := newRig(t)
	t.Run("at a record of a newer format is rebuilt up to there", func(t *testing.T) {
		p := r.append(user(uuid.NewString(), "Ada", ""))
		r.produceFormat("2")
		n := r.node(t.TempDir(), 0)
		wantRefusal(t, n, refusal.Format)
		if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildDone || s.Position != p {
			t.Errorf("it ended with %+v", s)
		}
	})
	t.Run("at another topic is not rebuilt while it serves", func(t *testing.T) {
		r := newRig(t)
		n := r.node(t.TempDir(), 1).at(r.append(user(uuid.NewString(), "Ada", ""), user(uuid.NewString(), "Bob", "")))
		n.start(projections.RebuildOptions{Rate: 1})
		for s, _ := n.Rebuild(); s.Position < 1 && deadline(t).Err() == nil; s, _ = n.Rebuild() {
			time.Sleep(time.Millisecond) // until it follows the log
		}
		r.deleteTopic()
		if _, err := r.open("clusterlite.events").Prepare(deadline(t)); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, n, refusal.Topic)
		if s := n.rebuilt(); s.State != projections.RebuildFailed || !strings.Contains(s.Error, string(refusal.Topic)) {
			t.Errorf("it ended with %+v", s)
		}
		var refused *refusal.Error
		if err := n.StartRebuild(projections.RebuildOptions{}); !errors.As(err, &refused) {
			t.Errorf("another one: %v", err)
		}
	})
}
