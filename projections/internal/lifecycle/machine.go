package lifecycle

import (
	"errors"
	"sync"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// A State is a stage in the life of a projection.
type State int

// The states. A projection that is Failing, Damaged or Suspended has stopped and recovers by
// itself. One that is Stopped needs an operator.
const (
	// Starting: the file has not been compared with the log yet.
	Starting State = iota
	// CatchingUp: the file belongs to the log, and has not reached the end that the log had at
	// the start.
	CatchingUp
	// Live: the file has reached that end, and follows the log.
	Live
	// InDoubt: the broker is unreachable, so nothing shows whether the log still continues
	// from the file.
	InDoubt
	// Failing: the worker can't apply a batch, and retries.
	Failing
	// Damaged: the file can't be used, and waits for a rebuild.
	Damaged
	// Suspended: the log lacks records that the file has applied. The projection continues
	// once the log has them again.
	Suspended
	// Stopped: the file and the log do not belong together, or the next record can't be read.
	Stopped
)

// String returns the name of the state, for messages of tests.
func (s State) String() string {
	return [...]string{"starting", "catching up", "live", "in doubt", "failing", "damaged", "suspended", "stopped"}[s]
}

// Refused reports whether the projection stopped because of the log, for good or for now.
func (s State) Refused() bool { return s == Suspended || s == Stopped }

// An event moves a projection from one state to another.
type event int

const (
	fits        event = iota // the file belongs to the log
	caughtUp                 // the file has reached the end that the log had at the start
	unreachable              // the broker does not answer
	failure                  // a batch could not be applied
	success                  // a batch was applied, or nothing is left to apply
	suspension               // the log ends before the position of the file
	refused                  // any other refusal
	damage                   // the file can't be used
	repair                   // another file has taken the place of the damaged one
)

// history holds what the machine remembers in addition to its state.
type history struct {
	fitted   bool // the file has belonged to the log since the projection was opened
	caughtUp bool // the file has caught up since then, or since the last repair
}

// running returns the state of a projection that nothing keeps from applying the log.
func (h history) running() State {
	switch {
	case !h.fitted:
		return Starting
	case !h.caughtUp:
		return CatchingUp
	default:
		return Live
	}
}

// next is the one place where transitions are decided. h includes the event. It returns from if
// the event changes nothing:
//
//	from                            event         to
//	all but failing, stopped,       fits          running
//	  damaged
//	catching up                     caught up     live
//	starting … failing              unreachable   in doubt
//	starting … failing              failure       failing
//	in doubt, failing               success       running
//	all but damaged, stopped        suspension    suspended, or stopped if the file never fitted
//	all but damaged                 refused       stopped
//	starting … failing              damage        damaged
//	damaged                         repair        starting
//
// Running is starting, catching up or live: see history.running.
func next(from State, e event, h history) State {
	halted := from == Damaged || from.Refused()
	switch {
	case e == fits && !halted && from != Failing, e == fits && from == Suspended:
		return h.running()
	case e == caughtUp && from == CatchingUp:
		return h.running()
	case e == unreachable && !halted:
		return InDoubt
	case e == failure && !halted:
		return Failing
	case e == success && (from == InDoubt || from == Failing):
		return h.running()
	case e == suspension && from != Damaged && from != Stopped && h.fitted:
		return Suspended
	case (e == suspension || e == refused) && from != Damaged:
		return Stopped
	case e == damage && !halted:
		return Damaged
	case e == repair && from == Damaged:
		return Starting
	}
	return from
}

// A Machine is the life cycle of a projection: its state, the reason for it, and what was
// observed of the file. All of it changes under one lock. The zero Machine is in [Starting].
// Safe for concurrent use.
type Machine struct {
	mu    sync.Mutex
	state State
	cause error // the reason for a state in which the log is not applied; otherwise nil
	history
	everCaughtUp bool // the file records that it has caught up, now or in an earlier run
	started      bool // the worker was started
	// caughtUpNoted is closed once the file has caught up. It is nil until it is needed.
	caughtUpNoted chan struct{}

	// struck is closed by the next transition to Damaged, and stays closed while the file is
	// damaged. It is nil until a caller asks for it.
	struck chan struct{}
	// repaired is closed by the next transition from Damaged.
	repaired chan struct{}
	// readFault is the reason why the last probe of the read path failed, in any state.
	readFault error
}

// on moves the machine to the state that follows an event, and reports whether the state or its
// cause changed. The caller holds the lock.
func (m *Machine) on(e event, cause error) bool {
	to := next(m.state, e, m.history)
	if to == m.state && (cause == nil || !to.keeps(e)) {
		return false
	}
	m.state, m.cause = to, cause
	return true
}

// keeps reports whether an event that leads to the current state replaces its cause.
func (s State) keeps(e event) bool {
	switch e {
	case unreachable:
		return s == InDoubt
	case failure:
		return s == Failing
	case suspension, refused:
		return s.Refused()
	}
	return false
}

// Now returns the state, and the reason for it if the log is not applied.
func (m *Machine) Now() (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.cause
}

// Health returns the state with its reason, and the reason why reads fail; nil if they work.
func (m *Machine) Health() (state State, cause, readFault error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.cause, m.readFault
}

// Start notes that the worker starts. It returns false if the worker was started before.
func (m *Machine) Start() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := !m.started
	m.started = true
	return first
}

// ConfirmLog notes that the file belongs to the log. It returns the state before.
func (m *Machine) ConfirmLog() (before State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before = m.state
	if before != Damaged && before != Stopped {
		m.fitted = true
		m.on(fits, nil)
	}
	return before
}

// LogConfirmed reports whether the file has belonged to the log since the projection was opened.
func (m *Machine) LogConfirmed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fitted
}

// CatchUp notes that the file has reached the end that the log had at the start. It reports
// whether the file records that already. A file that has not been compared with the log can't
// have caught up: what was observed belongs to the file before it.
func (m *Machine) CatchUp() (recorded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != Damaged && m.state != Starting && !m.history.caughtUp {
		m.history.caughtUp = true
		m.on(caughtUp, nil)
		m.noteCaughtUp()
	}
	return m.everCaughtUp
}

// CaughtUp returns a channel that is closed once the file has caught up, now or in an earlier run.
func (m *Machine) CaughtUp() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.untilCaughtUp()
}

// noteCaughtUp closes the channel of CaughtUp. The caller holds the lock.
func (m *Machine) noteCaughtUp() {
	select {
	case <-m.untilCaughtUp():
	default:
		close(m.caughtUpNoted)
	}
}

// untilCaughtUp is CaughtUp for the holder of the lock.
func (m *Machine) untilCaughtUp() chan struct{} {
	if m.caughtUpNoted == nil {
		m.caughtUpNoted = make(chan struct{})
	}
	return m.caughtUpNoted
}

// HasCaughtUp reports whether the file has caught up since the projection was opened or
// repaired.
func (m *Machine) HasCaughtUp() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.history.caughtUp
}

// RecordCaughtUp notes that the file itself records that it has caught up.
func (m *Machine) RecordCaughtUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.everCaughtUp = true
	m.noteCaughtUp()
}

// EverCaughtUp reports whether the file records that it has caught up, now or in an earlier run.
func (m *Machine) EverCaughtUp() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.everCaughtUp
}

// ServesAlone reports whether the projection serves without knowing the end of the log: the
// broker is away, and the file has caught up before.
func (m *Machine) ServesAlone(brokerReachable bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return (m.state == InDoubt || !brokerReachable) && m.everCaughtUp
}

// Fail notes that the worker could not apply the log, and will retry.
func (m *Machine) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if errors.Is(err, eventlog.ErrUnreachable) {
		m.on(unreachable, err)
	} else {
		m.on(failure, err)
	}
}

// Succeed notes that the worker applied the log, or had nothing to apply. It returns false if
// nothing had failed.
func (m *Machine) Succeed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on(success, nil)
}

// Refuse notes that the projection stops because of err, a [refusal.Error]. It returns false if
// the file is damaged, which takes precedence.
func (m *Machine) Refuse(err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := refused
	if r := (*refusal.Error)(nil); errors.As(err, &r) && r.Reason == refusal.Ahead {
		e = suspension
	}
	return m.on(e, err)
}

// Damage notes that the file can't be used any more, if serves reports that it is still the one
// that serves. It returns false if the damage is known already, or if the projection was refused.
//
// A repair puts another file in place before it calls Repair. Since serves is called under the
// machine's lock, damage found in the old file never counts as damage of the new one. For the same
// reason Damage calls stop itself: a repair that ends at once can't let callers wait again before
// stop has turned them away.
func (m *Machine) Damage(err *storagefault.Error, serves func() bool, stop func(error)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if next(m.state, damage, m.history) == m.state || !serves() {
		return false
	}
	m.on(damage, err)
	stop(err)
	close(m.untilDamage())
	m.repaired = make(chan struct{})
	return true
}

// Repair notes that another file has taken the place of the damaged one, and has to catch up.
func (m *Machine) Repair() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.history.caughtUp = m.history.caughtUp && m.state != Damaged
	if m.on(repair, nil) {
		m.struck = nil
		close(m.repaired)
	}
}

// Damaged returns the damage, and a channel that is closed once another file has taken the place
// of the damaged one. Both are nil while the file is sound.
func (m *Machine) Damaged() (repaired <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != Damaged {
		return nil, nil
	}
	return m.repaired, m.cause
}

// DamageNoted returns a channel that is closed once the file is damaged, and is closed already
// while it is. A repair does not reopen it, so its holder learns of the damage no matter how soon
// the repair follows.
func (m *Machine) DamageNoted() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.untilDamage()
}

// untilDamage is DamageNoted for the holder of the lock.
func (m *Machine) untilDamage() chan struct{} {
	if m.struck == nil {
		m.struck = make(chan struct{})
	}
	return m.struck
}

// Probed notes how the last probe of the read path ended. It returns the result of the probe
// before.
func (m *Machine) Probed(err error) (before error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, m.readFault = m.readFault, err
	return before
}
