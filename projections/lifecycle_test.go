package projections

import (
	"errors"
	"fmt"
	"testing"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

func TestLifecycle(t *testing.T) {
	var (
		away    = fmt.Errorf("asking: %w", eventlog.ErrUnreachable)
		locked  = &storagefault.Error{Fault: storagefault.Locked, Path: "p", Err: errors.New("locked")}
		corrupt = &storagefault.Error{Fault: storagefault.Corrupt, Path: "p", Err: errors.New("malformed")}
		ahead   = &refusal.Error{Reason: refusal.Ahead}

		fit      = func(l *machine) { l.fit() }
		fail     = func(err error) func(*machine) { return func(l *machine) { l.fail(err) } }
		recovers = func(l *machine) { l.recover() }
		refuse   = func(l *machine) { l.refuse(ahead) }
		damage   = func(l *machine) { l.damage(corrupt, serves, ignore) }
		repair   = func(l *machine) { l.repair() }
		slow     = func(l *machine) { l.probed(errors.New("slow")) }
		fast     = func(l *machine) { l.probed(nil) }
	)
	type steps []func(*machine)
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
			l := new(machine)
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

// Whoever waits for a repair learns of the one that ends the damage that it waits for, and
// whoever waits for damage learns of the next one, also if it looks only after the repair.
func TestLifecycleTellsOfDamageAndRepairs(t *testing.T) {
	l := new(machine)
	stops := 0
	stop := func(error) { stops++ }
	for i := range 3 {
		noted := l.damageNoted()
		if over(noted) {
			t.Fatalf("round %d: damage is noted before there is any", i)
		}
		first := l.damage(&storagefault.Error{Fault: storagefault.IO, Err: errors.New("eio")}, serves, stop)
		if again := l.damage(&storagefault.Error{}, serves, stop); !first || again || stops != i+1 {
			t.Fatalf("round %d: got %v, and %v the second time, after %d stops; want true, and false, after %d", i, first, again, stops, i+1)
		}
		if !over(l.damageNoted()) {
			t.Errorf("round %d: it is damaged, and one who asks now is not told", i)
		}
		repaired, _ := l.damaged()
		if over(repaired) {
			t.Errorf("round %d: it is repaired already", i)
		}
		l.repair()
		if _, err := l.damaged(); err != nil || !over(repaired) {
			t.Errorf("round %d: got %v, want no damage after the repair", i, err)
		}
		if !over(noted) {
			t.Errorf("round %d: the repair hides the damage from one who asked before it", i)
		}
	}
}

// Damage that a read found in a file that was replaced meanwhile says nothing of the new one.
func TestLifecycleIgnoresDamageOfAReplacedFile(t *testing.T) {
	l := new(machine)
	noted := l.damageNoted()
	if l.damage(&storagefault.Error{Fault: storagefault.Corrupt}, func() bool { return false }, ignore) || over(noted) {
		t.Error("got damage of a file that does not serve")
	}
	if state, err := l.now(); state != StateStarting || err != nil {
		t.Errorf("got state %s, %v; want %s", state, err, StateStarting)
	}
}

func serves() bool { return true }

func ignore(error) {}
