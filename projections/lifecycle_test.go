package projections

import (
	"errors"
	"fmt"
	"testing"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

func TestLifecycle(t *testing.T) {
	var (
		away    = fmt.Errorf("asking: %w", eventlog.ErrUnreachable)
		locked  = &StorageError{Fault: FaultLocked, Path: "p", Err: errors.New("locked")}
		corrupt = &StorageError{Fault: FaultCorrupt, Path: "p", Err: errors.New("malformed")}
		ahead   = &ErrRefused{Reason: RefusedAhead}

		fit      = func(l *lifecycle) { l.fit() }
		fail     = func(err error) func(*lifecycle) { return func(l *lifecycle) { l.fail(err) } }
		recovers = func(l *lifecycle) { l.recover() }
		refuse   = func(l *lifecycle) { l.refuse(ahead) }
		damage   = func(l *lifecycle) { l.damage(corrupt) }
		repair   = func(l *lifecycle) { l.repair() }
		slow     = func(l *lifecycle) { l.probed(errors.New("slow")) }
		fast     = func(l *lifecycle) { l.probed(nil) }
	)
	type steps []func(*lifecycle)
	for name, c := range map[string]struct {
		steps steps
		want  State
		stuck error // nil for none; what it wraps otherwise
	}{
		"new":                                      {nil, StateStarting, nil},
		"fits":                                     {steps{fit}, StateFollowing, nil},
		"no broker at start":                       {steps{fail(away)}, StateInDoubt, nil},
		"no broker, then it fits":                  {steps{fail(away), fit}, StateFollowing, nil},
		"no broker later":                          {steps{fit, fail(away)}, StateInDoubt, nil},
		"locked":                                   {steps{fit, fail(locked)}, StateFailing, locked},
		"locked, and the log is asked again":       {steps{fit, fail(locked), fit}, StateFailing, locked},
		"locked, then applied":                     {steps{fit, fail(locked), fit, recovers}, StateFollowing, nil},
		"failed before it fitted, then passed":     {steps{fail(locked), recovers}, StateStarting, nil},
		"nothing to recover from":                  {steps{fit, recovers}, StateFollowing, nil},
		"ahead of the log":                         {steps{fit, refuse}, StateRefused, ahead},
		"ahead of the log, a failure since":        {steps{fit, refuse, fail(away)}, StateRefused, ahead},
		"ahead of the log, recovers is not enough": {steps{fit, refuse, recovers}, StateRefused, ahead},
		"ahead of the log, which is back":          {steps{fit, refuse, fit}, StateFollowing, nil},
		"ahead of the log, then damaged":           {steps{fit, refuse, damage}, StateRefused, ahead},
		"damaged":                                  {steps{fit, damage}, StateDamaged, corrupt},
		"damaged at start":                         {steps{damage}, StateDamaged, corrupt},
		"damaged while it fails":                   {steps{fit, fail(locked), damage}, StateDamaged, corrupt},
		"damaged, and nothing else repairs it":     {steps{fit, damage, fit, fail(away), recovers, refuse}, StateDamaged, corrupt},
		"repaired":                                 {steps{fit, damage, repair}, StateStarting, nil},
		"repaired, and fits":                       {steps{fit, damage, repair, fit}, StateFollowing, nil},
		"nothing to repair":                        {steps{fit, repair}, StateFollowing, nil},
		"reads hang":                               {steps{fit, slow}, StateFollowing, errAny},
		"reads hung":                               {steps{fit, slow, fast}, StateFollowing, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := new(lifecycle)
			for _, step := range c.steps {
				step(l)
			}
			if got, _ := l.now(); got != c.want {
				t.Errorf("state: got %s, want %s", got, c.want)
			}
			got := l.stuck()
			if c.stuck == errAny && got != nil { //nolint:errorlint // the test's own marker
				return
			}
			if !errors.Is(got, c.stuck) {
				t.Errorf("stuck: got %v, want %v", got, c.stuck)
			}
		})
	}
}

var errAny = errors.New("any")

// Who waits for a repair is told of the one that ends the damage it waits for.
func TestLifecycleTellsOfRepairs(t *testing.T) {
	l := new(lifecycle)
	for i := range 3 {
		if !l.damage(&StorageError{Fault: FaultIO, Err: errors.New("eio")}) || l.damage(&StorageError{}) || l.damageCount() != i+1 {
			t.Fatalf("round %d: got %d damages", i, l.damageCount())
		}
		repaired, _ := l.damaged()
		if over(repaired) {
			t.Errorf("round %d: it is repaired already", i)
		}
		l.repair()
		if _, err := l.damaged(); err != nil || !over(repaired) {
			t.Errorf("round %d: got %v", i, err)
		}
	}
}
