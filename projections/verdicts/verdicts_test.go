package verdicts_test

import (
	"maps"
	"strconv"
	"sync"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/verdicts"
)

func judgement(p events.Position) verdicts.Judgement { return verdicts.Judgement{Position: p} }

func TestAJudgementReachesThoseWhoExpectIt(t *testing.T) {
	var all verdicts.Expectations
	expected, other, forgotten := all.Expect("expected"), all.Expect("other"), all.Expect("forgotten")
	forgotten.Forget()
	all.Judge(maps.All(map[string]verdicts.Judgement{"expected": judgement(1), "unexpected": judgement(2), "forgotten": judgement(3)}))
	<-expected.Known()
	if j, known := expected.Judgement(); !known || j.Position != 1 {
		t.Errorf("got %+v, %v, want the judgement at position 1", j, known)
	}
	for name, x := range map[string]*verdicts.Expectation{"other": other, "forgotten": forgotten} {
		if j, known := x.Judgement(); known {
			t.Errorf("got %+v for %s, want no judgement", j, name)
		}
	}
	expected.Forget()
	other.Forget()
	if n := all.Len(); n != 0 {
		t.Errorf("got %d expectations, want none", n)
	}
}

func TestTheFirstJudgementCounts(t *testing.T) {
	var all verdicts.Expectations
	x := all.Expect("a")
	for p := range events.Position(3) {
		all.Judge(maps.All(map[string]verdicts.Judgement{"a": judgement(p)}))
	}
	if j, known := x.Judgement(); !known || j.Position != 0 {
		t.Errorf("got %+v, %v, want the judgement at position 0", j, known)
	}
}

// One who forgets must not end the expectation of another one.
func TestForgetEndsOneExpectation(t *testing.T) {
	var all verdicts.Expectations
	earlier := all.Expect("a")
	later := all.Expect("a")
	earlier.Forget()
	all.Judge(maps.All(map[string]verdicts.Judgement{"a": judgement(1)}))
	if _, known := later.Judgement(); !known {
		t.Error("got no judgement, want one")
	}
}

func TestConcurrentExpectations(t *testing.T) {
	var all verdicts.Expectations
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				id := strconv.Itoa(worker*1000 + i)
				x := all.Expect(id)
				wg.Go(func() { all.Judge(maps.All(map[string]verdicts.Judgement{id: judgement(events.Position(i))})) })
				if i%5 == 0 {
					x.Forget()
					continue
				}
				<-x.Known()
				if j, _ := x.Judgement(); j.Position != events.Position(i) {
					t.Errorf("got position %d, want %d", j.Position, i)
				}
			}
		})
	}
	wg.Wait()
	if n := all.Len(); n != 0 {
		t.Errorf("got %d expectations, want none", n)
	}
}
