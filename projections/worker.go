package projections

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

const (
	// retryMin and retryMax are the pauses after a failure, growing between.
	retryMin = 250 * time.Millisecond
	retryMax = 5 * time.Second
)

// Run applies the log until ctx ends, and then returns nil with the last batch
// committed. It waits for a broker that is away, and tries again what fails.
//
// It returns a [RefusedError] if the file does not fit the log when it first sees it.
// What makes it refuse later (the log was replaced or cut, a record needs a newer
// version) stops the projection but not Run: [Projection.Err] and [Projection.Ready] tell.
// A log that ends before what was applied is asked again and again, and the projection goes
// on once it has that again. While the file is damaged Run waits for its repair. Run may be
// called once.
func (p *Projection) Run(ctx context.Context) error {
	if !p.running.CompareAndSwap(false, true) {
		return errors.New("the projection is already running")
	}
	defer p.startGuards(ctx)()
	pause := retryMin
	for ctx.Err() == nil {
		damaged := p.life.damageNoted() // before it is asked for: no damage falls in between
		if repaired, damage := p.life.damaged(); damage != nil {
			select {
			case <-repaired:
			case <-ctx.Done():
			}
			continue
		}
		err := p.fit(ctx)
		if err == nil {
			p.resume()
			err = p.follow(ctx, damaged, func() { pause = retryMin })
		}
		var refused *RefusedError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errDoubt):
			continue
		case over(damaged):
			continue // whatever the error is, that is why
		case errors.As(err, &refused):
			before := p.Err()
			fitted := p.life.hasFitted()
			if !p.refuse(err) {
				continue // the file was damaged just now; the next one may fit
			}
			if !fitted {
				return err
			}
			if before == nil || before.Error() != err.Error() {
				p.options.Logger.Error("stopped applying the log", "error", err, "position", p.Position())
			}
			if refused.Reason == RefusedOther {
				p.noteOther(refused.Detail)
			}
			if refused.Reason != RefusedAhead {
				<-ctx.Done()
				return nil
			}
			// No other record has come in place of those that are missed. They may be there:
			// a leader that was deposed doesn't tell of what came after it.
		default:
			p.fail(err)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, retryMax)
		case <-ctx.Done():
		}
	}
	return nil
}

// The reasons why follow ends although nothing has failed.
var (
	// errDoubt: fit has to look whether the log is still the same.
	errDoubt = errors.New("the log may have been replaced")
	// errDamaged: the file has to be built again first.
	errDamaged = errors.New("the projection file is damaged")
)

// fit checks the file against the log. An [RefusedError] is final, but for [RefusedAhead]
// if it has fitted before.
func (p *Projection) fit(ctx context.Context) error {
	info, err := p.prepare(ctx)
	var unfit *eventlog.UnfitTopicError
	if errors.As(err, &unfit) {
		return &RefusedError{Reason: RefusedUnfit, Detail: err.Error()}
	}
	if err != nil {
		return err
	}
	if err := p.bind(info.ID); err != nil {
		return err
	}
	if err := p.confirm(ctx, info); err != nil {
		return err
	}
	if p.Position() == info.End {
		// Nothing is left that could fail, and no batch may come for long to show it.
		p.fail(nil)
	}
	return nil
}

// confirmations is how often, a second between, the broker must say that the log ends
// before what was applied, or begins after it: at the start of a process, and later. A
// deposed leader says that it ends early for as long as it is cut off from its peers and
// not from this node, and a node that runs had a log that went on.
const confirmations, laterConfirmations = 3, 15

// confirm returns a [RefusedError] if the log does not go on from what was applied, and
// goes on not doing so.
func (p *Projection) confirm(ctx context.Context, info eventlog.Info) error {
	times := confirmations
	if p.life.hasFitted() {
		times = laterConfirmations
	}
	at := p.mark() // fit runs while nothing is applied
	for i := 1; ; i++ {
		err := at.goesOn(ctx, p.options.Log, info)
		refused := (*RefusedError)(nil)
		if !errors.As(err, &refused) || refused.Reason == RefusedOther || i == times {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		if info, err = p.options.Log.Describe(ctx); err != nil {
			return err
		}
	}
}

// follow applies what the log brings, until something fails or damaged is closed.
func (p *Projection) follow(ctx context.Context, damaged <-chan struct{}, healthy func()) (err error) {
	subscription, err := p.options.Log.Subscribe(p.Position())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subscription.Close()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	var watches sync.WaitGroup
	watches.Go(func() { p.watch(ctx, cancel) })
	watches.Go(func() {
		select {
		case <-damaged:
			cancel(errDamaged)
		case <-ctx.Done():
		}
	})
	defer func() { cancel(nil); watches.Wait() }()

	for {
		records, err := subscription.Take(ctx, p.options.MaxBatch)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause // of which err is but the echo
		}
		if err != nil {
			return err
		}
		if err := p.apply(records, damaged); err != nil {
			return refuseNewer(err)
		}
		if !p.hadCaughtUp.Load() && p.progress.hasCaughtUp() {
			p.noteCaughtUp()
		}
		p.fail(nil)
		healthy()
	}
}

// refuseNewer makes a [RefusedError] of an error that says that this version can't read a
// record.
func refuseNewer(err error) error {
	if newer := (*events.NewerFormatError)(nil); errors.As(err, &newer) {
		return &RefusedError{Reason: RefusedFormat, Detail: newer.Error()}
	}
	return err
}

// watch asks once a second where the log ends, for the lag, and looks whether it is still
// the same log: from time to time, and once the broker was away or says that the log ends
// early. It ends follow, by cancel, if something is wrong.
func (p *Projection) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	const inspectEvery = 10
	known := p.mark() // what was applied when the log was last looked at
	sound := known    // what was applied when there was last no doubt
	doubt := false
	for i := 1; ; i++ {
		now := p.mark()
		end, err := p.options.Log.End(ctx)
		if err == nil {
			p.progress.heard(end)
			if p.progress.hasCaughtUp() {
				p.noteCaughtUp()
			}
		}
		doubt = doubt || err != nil || end < now.position
		if err == nil && (doubt || i%inspectEvery == 0) {
			if doubt {
				known = sound
			}
			switch err := p.inspect(ctx, now, known); {
			case err == nil:
				doubt, known = false, now
			case stops(err):
				cancel(err)
				return
			default: // a broker that is away is no reason to stop
				doubt = true
			}
		}
		if !doubt {
			sound = now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// stops tells whether follow has to end.
func stops(err error) bool {
	var refused *RefusedError
	return errors.Is(err, errDoubt) || errors.As(err, &refused)
}

// inspect returns nil if the log is the one that was applied, a [RefusedError] if it is
// not, errDoubt if fit has to find out, and any other error if the broker can't be asked.
// now and known are marks of before, known of some time before.
func (p *Projection) inspect(ctx context.Context, now, known mark) error {
	info, err := p.options.Log.Describe(ctx)
	if err != nil {
		return err
	}
	if err := p.sameTopic(info); err != nil {
		return err
	}
	if outside(now.position, info) != nil {
		return errDoubt
	}
	return known.isIn(ctx, p.options.Log, info)
}
