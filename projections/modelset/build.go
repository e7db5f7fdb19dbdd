package modelset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// State is the state of a model.
type State string

// The states of a model.
const (
	// Building: the model has not caught up yet since it was created.
	Building State = "building"
	// Following: it applies the events as they come.
	Following State = "following"
	// Failing: it can't apply events, and retries.
	Failing State = "failing"
	// Stopped: a statement failed for an event. An operator has to change the file, or retry or
	// skip the event.
	Stopped State = "stopped"
)

const (
	// maxBatch is the maximum number of events that are read for one transaction.
	maxBatch = 1000
	// pause follows a batch of a model that has caught up. More events then share a transaction.
	pause = 2 * time.Millisecond
	// persistAfter is the number of records without an event for the model after which its position
	// is written.
	persistAfter = 5000

	retryMin = 250 * time.Millisecond
	retryMax = 10 * time.Second
)

// A build is one file of a model, and what applies events to it. Its goroutine alone uses the
// file.
type build struct {
	source   Source
	declared []string
	logger   *slog.Logger
	skips    *Skips
	file     *sqlmodel.File
	number   int
	// caughtUp is called when the build is complete and has all events that the source has.
	caughtUp func(*build)

	readers *sqlmodel.Readers
	cancel  context.CancelFunc
	done    chan struct{} // closed once the goroutine has ended
	again   chan struct{} // wakes the goroutine of a stopped build

	mu       sync.Mutex
	state    State
	failure  error
	resumed  State // after a retry
	position events.Position
	began    events.Position // the position when the goroutine began
	moved    chan struct{}   // closed when position or state changes
	reads    int             // transactions that are open
	retired  bool            // no further reads
}

func newBuild(ctx context.Context, f *sqlmodel.File, number int, s *Set) (*build, error) {
	readers, err := sqlmodel.OpenReaders(ctx, f.Path(), f.Definition)
	if err != nil {
		return nil, err
	}
	b := &build{
		source: s.options.Source, declared: s.options.Collections, logger: s.options.Logger.With("model", f.Name), skips: s.skips, file: f, number: number, readers: readers,
		state: Building, position: f.Position(), began: f.Position(), moved: make(chan struct{}), again: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if f.Complete() {
		b.state = Following
	}
	if s.options.BatchTime > 0 {
		f.LimitBatches(s.options.BatchTime)
	}
	return b, nil
}

// change changes the state and wakes those who wait.
func (b *build) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.moved)
	b.moved = make(chan struct{})
}

// run applies events until ctx ends.
func (b *build) run(ctx context.Context) {
	defer close(b.done)
	wait := retryMin
	for ctx.Err() == nil {
		next, cancel := b.untilCaughtUp(ctx)
		err := b.ready(ctx)
		if err == nil {
			err = b.step(ctx, next)
		}
		cancel()
		var failed *sqlmodel.EventError
		switch {
		case err == nil:
			wait = retryMin
		case ctx.Err() != nil:
		case errors.As(err, &failed):
			b.stop(ctx, err)
		default:
			b.fail(err)
			select {
			case <-time.After(wait):
				wait = min(2*wait, retryMax)
			case <-ctx.Done():
			}
		}
	}
}

// untilCaughtUp returns a context that also ends when the source catches up with the log, because that may
// complete the build.
func (b *build) untilCaughtUp(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.sourceCaughtUp() {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-b.source.CaughtUp():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (b *build) sourceCaughtUp() bool {
	select {
	case <-b.source.CaughtUp():
		return true
	default:
		return false
	}
}

// ready completes a build that has all events already, as that of an empty log.
func (b *build) ready(ctx context.Context) error {
	if b.file.Complete() || !b.sourceCaughtUp() || b.position < b.source.Position() {
		return nil
	}
	if err := b.file.MarkComplete(ctx); err != nil {
		return err
	}
	b.change(func() { b.state, b.failure = Following, nil })
	b.caughtUp(b)
	return nil
}

// wants implements [Wants]. The collections of a file that was built before the node started may have
// been declared no longer since.
func (b *build) wants(collection string, kind events.Kind) (event, previous bool) {
	if !slices.Contains(b.declared, collection) {
		return false, false
	}
	return b.file.Wants(collection, kind)
}

// completing reports whether the build has all events and only has to be marked as complete. moved is closed
// when that changes.
func (b *build) completing() (moved <-chan struct{}, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	marked := b.state == Following // but the model does not use it yet
	return b.moved, marked || b.state == Building && b.sourceCaughtUp() && b.position >= b.source.Position()
}

// step applies the next events, for which it waits until next ends.
func (b *build) step(ctx, next context.Context) error {
	batch, to, err := b.source.Next(next, b.position, maxBatch, b.wants)
	if err != nil && next.Err() != nil && ctx.Err() == nil {
		return nil // the source has caught up
	}
	if err != nil {
		return err
	}
	batch = b.skips.without(b.file.Hash, batch)
	caughtUp := to >= b.source.Position()
	completes := caughtUp && !b.file.Complete() && b.sourceCaughtUp()
	if len(batch) > 0 || to-b.file.Position() > persistAfter || completes {
		if err := b.file.Apply(ctx, batch, to); err != nil {
			b.change(func() { b.position = max(b.position, b.file.Position()) })
			return err
		}
		if b.file.Position() < to { // its statements are slow
			to, caughtUp = b.file.Position(), false
		}
	}
	b.change(func() {
		if b.position, b.failure = to, nil; b.state == Failing {
			b.state = Following
		}
		if !b.file.Complete() {
			b.state = Building
		}
	})
	if !caughtUp {
		return nil
	}
	if err := b.ready(ctx); err != nil {
		return err
	}
	if b.file.Complete() {
		b.caughtUp(b)
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return nil
}

// stop waits after an event failed until an operator retries or skips it.
func (b *build) stop(ctx context.Context, err error) {
	b.logger.Error("the model has stopped: a statement failed", "error", err)
	resumed := Following
	if !b.file.Complete() {
		resumed = Building
	}
	b.change(func() { b.state, b.failure, b.resumed = Stopped, err, resumed })
	select {
	case <-b.again:
	case <-ctx.Done():
	}
}

func (b *build) fail(err error) {
	b.mu.Lock()
	known := b.failure
	b.mu.Unlock()
	if known == nil || known.Error() != err.Error() {
		b.logger.Warn("the model can't apply events; retrying", "error", err)
	}
	b.change(func() { b.state, b.failure = Failing, err })
}

// retry wakes a stopped build. When it returns, the earlier stop is cleared.
func (b *build) retry() {
	b.change(func() { b.state, b.failure = b.resumed, nil })
	select {
	case b.again <- struct{}{}:
	default: // it is awake
	}
}

// stopped returns the event for which the build has stopped, or nil.
func (b *build) stopped() *sqlmodel.EventError {
	b.mu.Lock()
	defer b.mu.Unlock()
	var failed *sqlmodel.EventError
	if b.state != Stopped || !errors.As(b.failure, &failed) {
		return nil
	}
	return failed
}

// errRetired means that the build serves no further reads.
var errRetired = errors.New("the model was replaced, removed or closed")

// waitFor waits until the build has reached a position. It returns its failure if it has stopped, or
// errRetired.
func (b *build) waitFor(ctx context.Context, position events.Position) error {
	for {
		b.mu.Lock()
		at, state, failure, moved, retired := b.position, b.state, b.failure, b.moved, b.retired
		b.mu.Unlock()
		switch {
		case retired:
			return errRetired
		case at >= position:
			return nil
		case state == Stopped:
			return failure
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin begins a read. ok is false if the build no longer serves.
func (b *build) begin(ctx context.Context) (tx *sqlmodel.Tx, release func(), ok bool, err error) {
	b.mu.Lock()
	if b.retired {
		b.mu.Unlock()
		return nil, nil, false, nil
	}
	b.reads++
	at := b.position
	b.mu.Unlock()
	tx, err = b.readers.Begin(ctx)
	if err != nil {
		b.release()
		return nil, nil, true, err
	}
	// Records without an event for the model move its position, but not always that in the file.
	tx.At = max(tx.At, at)
	return tx, b.release, true, nil
}

func (b *build) release() {
	b.mu.Lock()
	b.reads--
	last := b.retired && b.reads == 0
	b.mu.Unlock()
	if last {
		b.closeReaders()
	}
}

// retire ends the goroutine, and closes the file after its last read. If remove is set, the file is
// removed then.
func (b *build) retire(remove bool) error {
	b.cancel()
	<-b.done
	err := b.file.Close()
	if remove {
		// Reads that are still open keep the file until they close it.
		err = errors.Join(err, sqlmodel.Remove(b.file.Path()))
	}
	var already, idle bool
	b.change(func() { // wakes those who wait for a position
		already, idle = b.retired, b.reads == 0
		b.retired = true
	})
	if idle && !already {
		b.closeReaders()
	}
	if err != nil {
		return fmt.Errorf("close the file of the model %s: %w", b.file.Name, err)
	}
	return nil
}

func (b *build) closeReaders() {
	if err := b.readers.Close(); err != nil {
		b.logger.Warn("closing the file of a model failed", "error", err)
	}
}
