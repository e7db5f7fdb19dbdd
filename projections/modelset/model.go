package modelset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// A Model is one model of a set: what serves it, and what may be built to replace that. Safe for
// concurrent use.
type Model struct {
	name string
	set  *Set

	mu       sync.Mutex
	serving  *build // nil until the first build is complete
	building *build // nil if there is none
	mistake  error  // of the file of the definition, if it has changed since it was last right
}

// ErrBuilding means that a model has not been built yet.
var ErrBuilding = errors.New("the model is being built for the first time")

// ErrNotStopped means that there is no failed event to retry or skip.
var ErrNotStopped = errors.New("the model has not stopped")

// ErrNoBuild means that there is no build to cancel.
var ErrNoBuild = errors.New("no new build of the model is running beside the one that serves")

// Name is the name of the model.
func (m *Model) Name() string { return m.name }

// current returns the build that serves, or nil.
func (m *Model) current() *build {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serving
}

// completionWait is the maximum time that a read waits for the first build to be marked as complete. Tests
// raise it, because a busy machine can take longer.
var completionWait = time.Second

// built returns the build that serves, or nil. It waits while the first build has all events and only has to
// be marked as complete, as that of an empty log when the node starts.
func (m *Model) built(ctx context.Context) *build {
	if b := m.current(); b != nil {
		return b
	}
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	for {
		m.mu.Lock()
		serving, building := m.serving, m.building
		m.mu.Unlock()
		if serving != nil || building == nil {
			return serving
		}
		moved, completing := building.completing()
		if !completing {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil
		}
	}
}

// Definition returns the definition that serves. ok is false until the model has been built.
func (m *Model) Definition() (d *sqlmodel.Definition, ok bool) {
	b := m.current()
	if b == nil {
		return nil, false
	}
	return b.file.Definition, true
}

// WaitFor waits until the model that serves has reached a position. It returns an error that wraps
// a [sqlmodel.EventError] if it has stopped before, [ErrBuilding], or ctx.Err().
func (m *Model) WaitFor(ctx context.Context, position events.Position) error {
	for {
		b := m.built(ctx)
		if b == nil {
			return ErrBuilding
		}
		err := b.waitFor(ctx, position)
		if err == nil || m.current() == b {
			return err
		}
	}
}

// Position is the position of the model that serves, or zero.
func (m *Model) Position() events.Position {
	b := m.current()
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.position
}

// Begin begins a read transaction. The caller must close it, and call release after that.
func (m *Model) Begin(ctx context.Context) (tx *sqlmodel.Tx, release func(), err error) {
	for {
		b := m.current()
		if b == nil {
			return nil, nil, ErrBuilding
		}
		tx, release, ok, err := b.begin(ctx)
		if ok {
			return tx, release, err
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
}

// caughtUp puts a build that has all events in place of the one that serves.
func (m *Model) caughtUp(b *build) {
	m.mu.Lock()
	if m.building != b {
		m.mu.Unlock()
		return
	}
	old := m.serving
	if old != nil {
		old.mu.Lock()
		ahead := old.position > b.file.Position() && old.position > b.position
		old.mu.Unlock()
		if ahead {
			m.mu.Unlock()
			return // no read goes back in time; the next batch tries again
		}
	}
	m.serving, m.building = b, nil
	m.mu.Unlock()
	b.change(func() {}) // wakes reads that wait for the first build
	b.logger.Info("the model has been built and serves", "hash", b.file.Hash, "position", b.file.Position())
	if old != nil {
		m.set.background.Go(func() {
			if err := old.retire(true); err != nil {
				old.logger.Warn("removing the replaced file failed", "error", err)
			}
		})
	}
}

// adopt makes the model follow a definition. A build of another definition is cancelled.
func (m *Model) adopt(d *sqlmodel.Definition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mistake = nil
	if m.building != nil && m.building.file.Hash != d.Hash {
		m.abandon()
	}
	if m.building != nil || m.serving != nil && m.serving.file.Hash == d.Hash {
		return nil
	}
	return m.build(d)
}

// abandon cancels the build, with m.mu held. It ends in the background, because its goroutine may
// wait for the mutex.
func (m *Model) abandon() {
	b := m.building
	m.building = nil
	m.set.background.Go(func() {
		if err := b.retire(true); err != nil {
			b.logger.Warn("removing a cancelled build failed", "error", err)
		}
	})
}

// build begins a build from the beginning, with m.mu held.
func (m *Model) build(d *sqlmodel.Definition) error {
	number := m.set.nextNumber()
	f, err := sqlmodel.Create(m.set.ctx, m.set.path(m.name, number), d)
	if err != nil {
		return err
	}
	b, err := newBuild(m.set.ctx, f, number, m.set)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	b.caughtUp = m.caughtUp
	m.building = b
	b.logger.Info("building the model", "hash", d.Hash)
	m.set.start(b)
	return nil
}

// Rebuild builds the model again from its definition, beside what serves.
func (m *Model) Rebuild() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var d *sqlmodel.Definition
	switch {
	case m.building != nil:
		d = m.building.file.Definition
		m.abandon()
	case m.serving != nil:
		d = m.serving.file.Definition
	default:
		return ErrBuilding
	}
	return m.build(d)
}

// Cancel cancels a build. What serves stays.
func (m *Model) Cancel() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.building == nil || m.serving == nil {
		return ErrNoBuild
	}
	m.abandon()
	return nil
}

// stopped returns the build that has stopped: the new one first, because that is what an operator
// works on.
func (m *Model) stopped() (*build, *sqlmodel.EventError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range []*build{m.building, m.serving} {
		if b == nil {
			continue
		}
		if failed := b.stopped(); failed != nil {
			return b, failed
		}
	}
	return nil, nil
}

// Retry applies the failed event again.
func (m *Model) Retry() error {
	b, _ := m.stopped()
	if b == nil {
		return ErrNotStopped
	}
	b.retry()
	return nil
}

// Skip leaves the failed event out, and records that for ever. position has to be that of the failed
// event, so that an operator does not skip an event that failed meanwhile.
func (m *Model) Skip(position events.Position) (Skip, error) {
	b, failed := m.stopped()
	if b == nil {
		return Skip{}, ErrNotStopped
	}
	e := failed.Event
	if e.Position != position {
		return Skip{}, fmt.Errorf("%w at position %d but at %d", ErrNotStopped, position, e.Position)
	}
	skip := Skip{
		Model: m.name, Hash: b.file.Hash, Position: e.Position, Type: string(e.Kind), Collection: e.Collection, ID: e.ID, Version: e.Version,
		Error: failed.Error(), At: time.Now().UTC().Truncate(time.Millisecond),
	}
	if err := m.set.skips.add(skip); err != nil {
		return Skip{}, err
	}
	b.logger.Warn("the model skips an event", "position", position, "error", failed)
	b.retry()
	return skip, nil
}
