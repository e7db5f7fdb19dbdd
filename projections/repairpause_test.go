package projections

import (
	"testing"
	"time"
)

func TestRepairsAreSpacedOut(t *testing.T) {
	var r repairs
	now := time.Unix(1e9, 0)
	for i, want := range append(repairPauses, repairPauses[len(repairPauses)-1]) {
		if got := r.pause(now); got != want {
			t.Errorf("before repair %d: got %s, want %s", i+1, got, want)
		}
		r.note(now)
		now = now.Add(time.Second)
	}
	if got := r.pause(now.Add(repairWindow)); got != 0 {
		t.Errorf("long after the last repair: got %s, want no pause", got)
	}
}
