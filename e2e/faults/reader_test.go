package faults

import (
	"testing"

	"github.com/clusterlite/clusterlite/e2e/feed"
)

// A reader reports a change that arrives twice or out of order at once.
func TestReaderNoticesRepeats(t *testing.T) {
	change := func(position string) feed.Change { return feed.Change{ID: "e" + position, Position: position} }
	r := &reader{offset: "-1"}
	r.seen([]feed.Change{change("1"), change("3")}, "0000000000000004")
	r.seen(nil, "0000000000000005")
	if got := r.news(); len(got) != 0 || r.at() != "0000000000000005" || len(r.ids) != 2 {
		t.Errorf("got %v at %s with %v, want two changes in order", got, r.at(), r.ids)
	}
	r.seen([]feed.Change{change("3"), change("6"), change("2")}, "0000000000000006")
	if got := r.news(); len(got) != 2 {
		t.Errorf("got %v, want two violations", got)
	}
}
