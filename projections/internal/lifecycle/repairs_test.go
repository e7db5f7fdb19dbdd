package lifecycle

import (
	"testing"
	"time"
)

func TestRepairsAreSpacedOut(t *testing.T) {
	var r Repairs
	now := time.Unix(1e9, 0)
	for i, want := range append(repairPauses, repairPauses[len(repairPauses)-1]) {
		if got := r.Pause(now); got != want {
			t.Errorf("before repair %d: got %s, want %s", i+1, got, want)
		}
		r.Note(now)
		now = now.Add(time.Second)
	}
	if got := r.Pause(now.Add(repairWindow)); got != 0 {
		t.Errorf("long after the last repair: got %s, want no pause", got)
	}
}

func TestFilling(t *testing.T) {
	var f Filling
	now := time.Unix(1e9, 0)
	for _, step := range []struct {
		after      time.Duration
		incomplete bool
		want       bool
	}{
		{0, false, false}, {0, true, false}, {9 * time.Second, true, false}, {time.Second, true, true},
		{time.Second, true, false}, {fillPauseMin, true, true}, {fillPauseMin, true, false}, {fillPauseMin, true, true},
		{time.Hour, false, false}, {0, true, false}, {10 * time.Second, true, true},
	} {
		now = now.Add(step.after)
		got := f.Due(step.incomplete, 10*time.Second, now)
		if got != step.want {
			t.Errorf("at %s: got %t, want %t", now.Sub(time.Unix(1e9, 0)), got, step.want)
		}
		if got {
			f.Began(now)
		}
	}
}
