package projections

import (
	"errors"
	"sync"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// A State is where a projection is in its life. The words are part of the admin interface.
type State string

// The states.
const (
	// StateStarting: the file has not been held against the log yet.
	StateStarting State = "starting"
	// StateFollowing: the file belongs to the log, and the log is applied.
	StateFollowing State = "following"
	// StateInDoubt: the broker can't be asked whether the log still goes on from the file.
	StateInDoubt State = "in-doubt"
	// StateFailing: the log can't be applied. It is tried again and again.
	StateFailing State = "failing"
	// StateDamaged: the file is of no use any more, and is waiting to be built again or
	// being built again.
	StateDamaged State = "damaged"
	// StateRefused: the file and the log don't belong together, or the next record can't be
	// read. See [refusal.Error].
	StateRefused State = "refused"
)

// machine is the state of a projection and the one place where it changes:
//
//	from                 by       to
//	starting, in-doubt   fit      following
//	refused              fit      following   only after [refusal.Ahead] does the worker ask again
//	starting … failing   fail     in-doubt if the broker is away, else failing
//	in-doubt, failing    recover  following if it was there before, else starting
//	all but damaged      refuse   refused
//	all but refused      damage   damaged
//	damaged              repair   starting
//
// Anything else leaves it as it is. Safe for concurrent use.
type machine struct {
	mu     sync.Mutex
	state  State // empty stands for StateStarting
	cause  error // why it is not following; nil while it starts and follows
	fitted bool  // it was following once
	// struck is closed by the next transition to damaged, and stays closed while the file is
	// damaged. It is nil until it is asked for.
	struck chan struct{}
	// repaired is closed by the next transition from damaged.
	repaired chan struct{}
	// unreadable is why the last probe of the read path failed, whatever the state is.
	unreadable error
}

// now gives the state and why it is not [StateFollowing].
func (l *machine) now() (State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current(), l.cause
}

func (l *machine) current() State {
	if l.state == "" {
		return StateStarting
	}
	return l.state
}

// fit notes that the file fits the log, and tells the state before.
func (l *machine) fit() (was State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was = l.current()
	if was == StateDamaged {
		return was
	}
	l.fitted = true
	if was != StateFailing { // that passes once something was applied
		l.state, l.cause = StateFollowing, nil
	}
	return was
}

// hasFitted tells whether the file has ever fitted the log since the projection was opened.
func (l *machine) hasFitted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fitted
}

// fail notes that the log can't be applied just now.
func (l *machine) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state == StateDamaged || l.state == StateRefused:
	case errors.Is(err, eventlog.ErrUnreachable):
		l.state, l.cause = StateInDoubt, err
	default:
		l.state, l.cause = StateFailing, err
	}
}

// recover notes that what failed has passed. It returns false if nothing had failed.
func (l *machine) recover() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != StateInDoubt && l.state != StateFailing {
		return false
	}
	l.state, l.cause = StateStarting, nil
	if l.fitted {
		l.state = StateFollowing
	}
	return true
}

// refuse notes that it needs a person. It returns false if the file is damaged, which
// comes first.
func (l *machine) refuse(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == StateDamaged {
		return false
	}
	l.state, l.cause = StateRefused, err
	return true
}

// damage notes that the file is of no use any more, if serves still says that it is the one
// that serves. It returns false if the damage is known already, or if the projection needs a
// person anyway. A repair puts another file in place before it calls repair. Since serves is
// asked under the same lock, damage that was found in the file before it never counts as
// damage of the new one. For the same reason it calls stop itself: a repair that ends at once
// can't let callers wait again before stop has turned them away.
func (l *machine) damage(err *storagefault.Error, serves func() bool, stop func(error)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == StateDamaged || l.state == StateRefused || !serves() {
		return false
	}
	l.state, l.cause = StateDamaged, err
	stop(err)
	close(l.untilDamage())
	l.repaired = make(chan struct{})
	return true
}

// repair notes that another file has taken the place of the damaged one.
func (l *machine) repair() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != StateDamaged {
		return
	}
	l.state, l.cause = StateStarting, nil
	l.struck = nil
	close(l.repaired)
}

// damaged gives what is wrong with the file as its error, and a channel that is closed once
// another file has taken its place. Both are nil while nothing is wrong.
func (l *machine) damaged() (repaired <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != StateDamaged {
		return nil, nil
	}
	return l.repaired, l.cause
}

// damageNoted gives a channel that is closed once the file is damaged, and is closed already
// while it is. A repair does not open it again, so that whoever holds it learns of the damage
// however soon the repair follows.
func (l *machine) damageNoted() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.untilDamage()
}

// untilDamage is damageNoted for the holder of the lock.
func (l *machine) untilDamage() chan struct{} {
	if l.struck == nil {
		l.struck = make(chan struct{})
	}
	return l.struck
}

// probed notes how the last probe of the read path ended, and tells how the one before did.
func (l *machine) probed(err error) (was error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.unreadable = l.unreadable, err
	return was
}

// stuck gives why the projection can't apply what comes next, or can't be read. It is nil
// while nothing is known to be wrong with the node itself: a broker that is away is not.
func (l *machine) stuck() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state {
	case StateRefused, StateDamaged:
		return l.cause
	case StateFailing:
		return &ApplyError{l.cause}
	}
	return l.unreadable
}
