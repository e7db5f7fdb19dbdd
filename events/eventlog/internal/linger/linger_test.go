package linger

import (
	"testing"
	"time"
)

const took, limit = 10 * time.Millisecond, 15 * time.Millisecond

// A scenario is what a linger knows when an append arrives, and the wait that it should start.
type scenario struct {
	limit   time.Duration
	recent  []Group
	waiting int
	want    time.Duration
}

func TestGroupsOnABrokerInThisProcess(t *testing.T) {
	checkAll(t, true, map[string]scenario{
		"the first append":           {limit, nil, 1, 0},
		"one client":                 {limit, []Group{{Writers: 1, Took: took}, {Writers: 1, Took: took}}, 1, 0},
		"two clients":                {limit, []Group{{Writers: 2, Took: time.Millisecond}}, 1, 2 * time.Millisecond},
		"both of them":               {limit, []Group{{Writers: 2, Took: time.Millisecond}}, 2, 0},
		"the limit":                  {limit, []Group{{Writers: 8, Took: took}}, 1, limit},
		"all but an eighth":          {limit, []Group{{Writers: 8, Took: took}}, 7, 0},
		"fewer":                      {limit, []Group{{Writers: 8, Took: took}}, 6, limit},
		"none":                       {limit, []Group{{Writers: 8, Took: took}}, 0, 0},
		"a small group between":      {limit, []Group{{Writers: 8, Took: took}, {Writers: 1, Took: took}}, 1, limit},
		"one client after several":   {limit, []Group{{Writers: 3, Took: took}, {Writers: 1, Took: took}, {Writers: 1, Took: took}}, 1, 0},
		"after a failure":            {limit, []Group{{Writers: 8, Took: took, Failed: true}}, 1, 0},
		"after failures":             {limit, []Group{{Writers: 8, Took: took}, {Writers: 8, Took: took, Failed: true}}, 1, 0},
		"many clients":               {limit, []Group{{Writers: 32, Took: time.Millisecond}}, 27, 4*time.Millisecond + 32*perWriter},
		"most of many clients":       {limit, []Group{{Writers: 32, Took: time.Millisecond}}, 28, 0},
		"a third of many":            {limit, []Group{{Writers: 240, Took: time.Millisecond}}, 80, 0},
		"less than a third":          {limit, []Group{{Writers: 240, Took: time.Millisecond}}, 79, 4*time.Millisecond + 240*perWriter},
		"one slow group":             {limit, []Group{{Writers: 2, Took: time.Millisecond}, {Writers: 2, Took: 5 * time.Millisecond}}, 1, 4 * time.Millisecond},
		"a log whose appends do not": {0, []Group{{Writers: 8, Took: took}}, 1, 0},
	})
}

func TestGroupsOnOtherBrokers(t *testing.T) {
	checkAll(t, false, map[string]scenario{
		"the first append":            {limit, nil, 1, 0},
		"one client":                  {limit, []Group{{Appends: 1, Took: took}, {Appends: 1, Took: took}}, 1, 0},
		"several clients":             {limit, []Group{{Appends: 8, Took: took}}, 1, limit},
		"a broker that answers soon":  {limit, []Group{{Appends: 8, Took: time.Millisecond}}, 1, 2 * time.Millisecond},
		"as many as before":           {limit, []Group{{Appends: 8, Took: took}}, 8, 0},
		"none":                        {limit, []Group{{Appends: 8, Took: took}}, 0, 0},
		"a small group between":       {limit, []Group{{Appends: 8, Took: took}, {Appends: 1, Took: took}}, 1, limit},
		"one client after several":    {limit, []Group{{Appends: 3, Took: took}, {Appends: 1, Took: took}, {Appends: 1, Took: took}}, 1, 0},
		"after a failure":             {limit, []Group{{Appends: 8, Took: took, Failed: true}}, 1, 0},
		"two small parties":           {limit, []Group{{Appends: 6, Took: time.Millisecond, Waiting: 6}}, 5, 2 * time.Millisecond},
		"one small party":             {limit, []Group{{Appends: 6, Took: time.Millisecond, Waiting: 6}}, 6, 0},
		"two parties":                 {limit, []Group{{Appends: 16, Took: time.Millisecond, Waiting: 16}}, 16, 4 * time.Millisecond},
		"two parties, the limit":      {limit, []Group{{Appends: 16, Took: took, Waiting: 16}}, 27, limit},
		"most of both parties":        {limit, []Group{{Appends: 16, Took: took, Waiting: 16}}, 28, 0},
		"a larger party before":       {limit, []Group{{Appends: 31, Took: took, Waiting: 1}}, 30, limit},
		"two parties after a failure": {limit, []Group{{Appends: 16, Took: took, Failed: true, Waiting: 16}}, 16, 0},
		"a log whose appends do not":  {0, []Group{{Appends: 8, Took: took}}, 1, 0},
	})
}

func checkAll(t *testing.T, local bool, scenarios map[string]scenario) {
	for name, test := range scenarios {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{}, 1)
			l := New(test.limit, local, func() { over <- struct{}{} })
			for _, g := range test.recent {
				l.Sent(g)
			}
			if got := l.wait(test.waiting); got != test.want {
				t.Errorf("got a wait of %s for %d appends, want %s", got, test.waiting, test.want)
			}
			want := test.want > 0
			if started := l.Begin(test.waiting); started != want || l.Waiting() != want {
				t.Errorf("got Begin %t and Waiting %t, want %t from both", started, l.Waiting(), want)
			}
			if want {
				<-over
			}
			if l.End(); l.Waiting() {
				t.Error("got a wait in progress after End, want none")
			}
		})
	}
}
