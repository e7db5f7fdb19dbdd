package linger

import (
	"testing"
	"time"
)

func TestGroupsOnABrokerInThisProcess(t *testing.T) {
	const took, limit = 10 * time.Millisecond, 15 * time.Millisecond
	type group struct {
		writers int
		took    time.Duration
		failed  bool
	}
	for name, test := range map[string]struct {
		limit   time.Duration
		recent  []group
		waiting int
		want    time.Duration
	}{
		"the first append":           {limit, nil, 1, 0},
		"one client":                 {limit, []group{{1, took, false}, {1, took, false}}, 1, 0},
		"two clients":                {limit, []group{{2, time.Millisecond, false}}, 1, 2 * time.Millisecond},
		"both of them":               {limit, []group{{2, time.Millisecond, false}}, 2, 0},
		"the limit":                  {limit, []group{{8, took, false}}, 1, limit},
		"all but an eighth":          {limit, []group{{8, took, false}}, 7, 0},
		"fewer":                      {limit, []group{{8, took, false}}, 6, limit},
		"none":                       {limit, []group{{8, took, false}}, 0, 0},
		"a small group between":      {limit, []group{{8, took, false}, {1, took, false}}, 1, limit},
		"one client after several":   {limit, []group{{3, took, false}, {1, took, false}, {1, took, false}}, 1, 0},
		"after a failure":            {limit, []group{{8, took, true}}, 1, 0},
		"after failures":             {limit, []group{{8, took, false}, {8, took, true}}, 1, 0},
		"many clients":               {limit, []group{{32, time.Millisecond, false}}, 27, 4*time.Millisecond + 32*perWriter},
		"most of many clients":       {limit, []group{{32, time.Millisecond, false}}, 28, 0},
		"a third of many":            {limit, []group{{240, time.Millisecond, false}}, 80, 0},
		"less than a third":          {limit, []group{{240, time.Millisecond, false}}, 79, 4*time.Millisecond + 240*perWriter},
		"one slow group":             {limit, []group{{2, time.Millisecond, false}, {2, 5 * time.Millisecond, false}}, 1, 4 * time.Millisecond},
		"a log whose appends do not": {0, []group{{8, took, false}}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{}, 1)
			l := New(test.limit, true, func() { over <- struct{}{} })
			for _, g := range test.recent {
				l.Sent(Group{Writers: g.writers, Took: g.took, Failed: g.failed})
			}
			if got := l.wait(test.waiting); got != test.want {
				t.Errorf("got a wait of %s for %d appends, want %s", got, test.waiting, test.want)
			}
			if begun := l.Begin(test.waiting); begun != (test.want > 0) || l.Waiting() != begun {
				t.Errorf("got begun %t, waiting %t, want both only if there is a wait", begun, l.Waiting())
			}
			if test.want > 0 {
				<-over
			}
			if l.End(); l.Waiting() {
				t.Error("got a wait that has not ended")
			}
		})
	}
}

func TestGroupsOnOtherBrokers(t *testing.T) {
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
			l := New(test.limit, false, func() {})
			for _, g := range test.recent {
				l.Sent(Group{Appends: g.appends, Waiting: g.behind, Took: g.took, Failed: g.failed})
			}
			if got := l.wait(test.waiting); got != test.want {
				t.Errorf("got a wait of %s for %d appends, want %s", got, test.waiting, test.want)
			}
		})
	}
}
