package linger

import (
	"testing"
	"time"
)

func TestOnlyAppendsOfSeveralClientsLinger(t *testing.T) {
	const took, limit = 10 * time.Millisecond, 15 * time.Millisecond
	type group struct {
		appends int
		took    time.Duration
		failed  bool
		behind  int // the appends that waited at its end
	}
	for name, test := range map[string]struct {
		limit   time.Duration
		recent  []group
		waiting int
		want    time.Duration
	}{
		"the first append":            {limit, nil, 1, 0},
		"one client":                  {limit, []group{{1, took, false, 0}, {1, took, false, 0}}, 1, 0},
		"several clients":             {limit, []group{{8, took, false, 0}}, 1, limit},
		"a broker that answers soon":  {limit, []group{{8, time.Millisecond, false, 0}}, 1, 2 * time.Millisecond},
		"as many as before":           {limit, []group{{8, took, false, 0}}, 8, 0},
		"none":                        {limit, []group{{8, took, false, 0}}, 0, 0},
		"a small group between":       {limit, []group{{8, took, false, 0}, {1, took, false, 0}}, 1, limit},
		"one client after several":    {limit, []group{{3, took, false, 0}, {1, took, false, 0}, {1, took, false, 0}}, 1, 0},
		"after a failure":             {limit, []group{{8, took, true, 0}}, 1, 0},
		"two small parties":           {limit, []group{{6, time.Millisecond, false, 6}}, 5, 2 * time.Millisecond},
		"one small party":             {limit, []group{{6, time.Millisecond, false, 6}}, 6, 0},
		"two parties":                 {limit, []group{{16, time.Millisecond, false, 16}}, 16, 4 * time.Millisecond},
		"two parties, the limit":      {limit, []group{{16, took, false, 16}}, 27, limit},
		"most of both parties":        {limit, []group{{16, took, false, 16}}, 28, 0},
		"a larger party before":       {limit, []group{{31, took, false, 1}}, 30, limit},
		"two parties after a failure": {limit, []group{{16, took, true, 16}}, 16, 0},
		"a log whose appends do not":  {0, []group{{8, took, false, 0}}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(test.limit)
			for _, g := range test.recent {
				l.Sent(g.appends, g.behind, g.took, !g.failed)
			}
			if got := l.Begin(test.waiting); got != test.want {
				t.Errorf("got a wait of %s for %d appends, want %s", got, test.waiting, test.want)
			}
		})
	}
}

// TestALingerEndsOnce lets appends arrive after the one that ended the wait.
func TestALingerEndsOnce(t *testing.T) {
	l := New(time.Second)
	l.Sent(3, 0, time.Second, true)
	for range 2 {
		if l.Begin(1) == 0 {
			t.Fatal("got no wait, want one")
		}
		for waiting := 2; waiting <= 5; waiting++ {
			l.Arrived(waiting)
		}
		if len(l.Enough) != 1 {
			t.Errorf("got %d tokens, want one", len(l.Enough))
		}
		l.End()
		if len(l.Enough) != 0 || l.wanted != 0 {
			t.Errorf("got %d tokens and %d wanted after the end, want none", len(l.Enough), l.wanted)
		}
	}
}
