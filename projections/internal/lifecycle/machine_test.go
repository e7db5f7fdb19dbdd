package lifecycle

import (
	"errors"
	"fmt"
	"testing"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

func TestMachine(t *testing.T) {
	var (
		away    = fmt.Errorf("asking: %w", eventlog.ErrUnreachable)
		locked  = &storagefault.Error{Fault: storagefault.Locked, Path: "p", Err: errors.New("locked")}
		corrupt = &storagefault.Error{Fault: storagefault.Corrupt, Path: "p", Err: errors.New("malformed")}
		ahead   = &refusal.Error{Reason: refusal.Ahead}
		other   = &refusal.Error{Reason: refusal.Other}

		fit      = func(m *Machine) { m.ConfirmLog() }
		caught   = func(m *Machine) { m.CatchUp() }
		fail     = func(err error) func(*Machine) { return func(m *Machine) { m.Fail(err) } }
		recovers = func(m *Machine) { m.Succeed() }
		refuse   = func(m *Machine) { m.Refuse(ahead) }
		replaced = func(m *Machine) { m.Refuse(other) }
		damage   = func(m *Machine) { m.Damage(corrupt, serves, ignore) }
		repair   = func(m *Machine) { m.Repair() }
		slow     = func(m *Machine) { m.Probed(errors.New("slow")) }
		fast     = func(m *Machine) { m.Probed(nil) }
	)
	type steps []func(*Machine)
	for name, c := range map[string]struct {
		steps steps
		want  State
		cause error // what the cause wraps; nil if there is no cause
		hangs bool  // reads hang
	}{
		"new":                                      {nil, Starting, nil, false},
		"fits":                                     {steps{fit}, CatchingUp, nil, false},
		"catches up":                               {steps{fit, caught}, Live, nil, false},
		"can't catch up before it fits":            {steps{caught, fit}, CatchingUp, nil, false},
		"no broker at start":                       {steps{fail(away)}, InDoubt, away, false},
		"no broker, then it fits":                  {steps{fail(away), fit}, CatchingUp, nil, false},
		"no broker later":                          {steps{fit, caught, fail(away)}, InDoubt, away, false},
		"no broker later, then it fits":            {steps{fit, caught, fail(away), fit}, Live, nil, false},
		"no broker, then another failure":          {steps{fit, fail(away), fail(locked)}, Failing, locked, false},
		"locked":                                   {steps{fit, fail(locked)}, Failing, locked, false},
		"locked, and the log is asked again":       {steps{fit, fail(locked), fit}, Failing, locked, false},
		"locked, then applied":                     {steps{fit, fail(locked), fit, recovers}, CatchingUp, nil, false},
		"locked while live, then applied":          {steps{fit, caught, fail(locked), recovers}, Live, nil, false},
		"caught up while it fails":                 {steps{fit, fail(away), caught, recovers}, Live, nil, false},
		"failed before it fitted, then passed":     {steps{fail(locked), recovers}, Starting, nil, false},
		"nothing to recover from":                  {steps{fit, recovers}, CatchingUp, nil, false},
		"ahead of the log":                         {steps{fit, refuse}, Suspended, ahead, false},
		"ahead of the log at start":                {steps{refuse}, Stopped, ahead, false},
		"ahead of the log, a failure since":        {steps{fit, refuse, fail(away)}, Suspended, ahead, false},
		"ahead of the log, recovers is not enough": {steps{fit, refuse, recovers}, Suspended, ahead, false},
		"ahead of the log, which is back":          {steps{fit, caught, refuse, fit}, Live, nil, false},
		"ahead of the log, then damaged":           {steps{fit, refuse, damage}, Suspended, ahead, false},
		"ahead of the log, then replaced":          {steps{fit, refuse, replaced}, Stopped, other, false},
		"another log":                              {steps{fit, replaced}, Stopped, other, false},
		"stopped for good":                         {steps{fit, replaced, fit, recovers, fail(away), damage, repair, caught}, Stopped, other, false},
		"damaged":                                  {steps{fit, damage}, Damaged, corrupt, false},
		"damaged at start":                         {steps{damage}, Damaged, corrupt, false},
		"damaged while it fails":                   {steps{fit, fail(locked), damage}, Damaged, corrupt, false},
		"damaged, and nothing else repairs it":     {steps{fit, damage, fit, fail(away), recovers, refuse, caught}, Damaged, corrupt, false},
		"repaired":                                 {steps{fit, caught, damage, repair}, Starting, nil, false},
		"repaired, and fits":                       {steps{fit, caught, damage, repair, fit}, CatchingUp, nil, false},
		"repaired, an old observation comes late":  {steps{fit, caught, damage, repair, caught, fit}, CatchingUp, nil, false},
		"repaired, and catches up":                 {steps{fit, caught, damage, repair, fit, caught}, Live, nil, false},
		"nothing to repair":                        {steps{fit, repair}, CatchingUp, nil, false},
		"reads hang":                               {steps{fit, slow}, CatchingUp, nil, true},
		"reads hung":                               {steps{fit, slow, fast}, CatchingUp, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(Machine)
			for _, step := range c.steps {
				step(m)
			}
			state, cause, readFault := m.Health()
			if state != c.want || !errors.Is(cause, c.cause) || (readFault != nil) != c.hangs {
				t.Errorf("got %s because of %v, reads: %v; want %s because of %v, reads hang: %v", state, cause, readFault, c.want, c.cause, c.hangs)
			}
			if now, why := m.Now(); now != state || !errors.Is(why, c.cause) {
				t.Errorf("got %s, %v, want %s, %v as Health returns", now, why, state, c.cause)
			}
		})
	}
}

// Every event keeps the rules of the states: only a repair ends damage, nothing ends a stop, and a
// state without a cause applies the log.
func TestTransitions(t *testing.T) {
	for from := Starting; from <= Stopped; from++ {
		for e := fits; e <= repair; e++ {
			for _, h := range []history{{}, {fitted: true}, {fitted: true, caughtUp: true}} {
				to := next(from, e, h)
				switch {
				case from == Stopped && to != Stopped, from == Damaged && to != Damaged && e != repair:
					t.Errorf("%s by event %d: got %s, want no change", from, e, to)
				case to == Live && !h.caughtUp && from != Live, to == CatchingUp && from != CatchingUp && (!h.fitted || h.caughtUp):
					t.Errorf("%s by event %d with %+v: got %s, want no move to it", from, e, h, to)
				}
			}
		}
	}
}

// A projection serves without the broker only if its file has caught up before.
func TestServesAlone(t *testing.T) {
	m := new(Machine)
	m.Fail(eventlog.ErrUnreachable)
	if m.ServesAlone(false) {
		t.Error("got true for a file that never caught up, want false")
	}
	m.RecordCaughtUp()
	if !m.ServesAlone(true) || !m.ServesAlone(false) {
		t.Error("in doubt: got false for a file that has caught up, want true")
	}
	m.ConfirmLog()
	if m.ServesAlone(true) || !m.ServesAlone(false) {
		t.Errorf("fitted: got %v with a broker and %v without, want false and true", m.ServesAlone(true), m.ServesAlone(false))
	}
}

func TestAWorkerStartsOnce(t *testing.T) {
	m := new(Machine)
	if first, second := m.Start(), m.Start(); !first || second {
		t.Errorf("got %v and %v, want true and false", first, second)
	}
}

// A caller that waits for a repair learns of the one that ends the damage it waits for, and a
// caller that waits for damage learns of the next one, even if it looks only after the repair.
func TestMachineReportsDamageAndRepairs(t *testing.T) {
	m := new(Machine)
	stops := 0
	stop := func(error) { stops++ }
	for i := range 3 {
		noted := m.DamageNoted()
		if closed(noted) {
			t.Fatalf("round %d: got damage noted before there is any, want none", i)
		}
		first := m.Damage(&storagefault.Error{Fault: storagefault.IO, Err: errors.New("eio")}, serves, stop)
		if again := m.Damage(&storagefault.Error{}, serves, stop); !first || again || stops != i+1 {
			t.Fatalf("round %d: got %v, and %v the second time, after %d stops, want true, and false, after %d", i, first, again, stops, i+1)
		}
		if !closed(m.DamageNoted()) {
			t.Errorf("round %d: got no damage for a caller that asks during it, want it noted", i)
		}
		repaired, _ := m.Damaged()
		if closed(repaired) {
			t.Errorf("round %d: got a repair before it happened, want none", i)
		}
		m.Repair()
		if _, err := m.Damaged(); err != nil || !closed(repaired) {
			t.Errorf("round %d: got %v, repair reported: %v, want no damage after the repair", i, err, closed(repaired))
		}
		if !closed(noted) {
			t.Errorf("round %d: got no damage for a caller that asked before it, want it noted despite the repair", i)
		}
	}
}

// Damage that a read finds in a file that has been replaced since is not damage of the new file.
func TestMachineIgnoresDamageOfAReplacedFile(t *testing.T) {
	m := new(Machine)
	noted := m.DamageNoted()
	if m.Damage(&storagefault.Error{Fault: storagefault.Corrupt}, func() bool { return false }, ignore) || closed(noted) {
		t.Error("got damage of a file that does not serve, want it ignored")
	}
	if state, err := m.Now(); state != Starting || err != nil {
		t.Errorf("got state %s, %v, want %s", state, err, Starting)
	}
}

func serves() bool { return true }

func ignore(error) {}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
