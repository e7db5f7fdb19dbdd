package projections

import (
	"context"
	"errors"
	"fmt"
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
// It returns an [ErrRefused] if the file does not fit the log when it first sees it.
// What makes it refuse later (the log was replaced or cut, a record needs a newer
// version) stops the projection but not Run: reads go on, [Projection.Err] and
// [Projection.Ready] tell. Run may be called once.
func (p *Projection) Run(ctx context.Context) error {
	if !p.running.CompareAndSwap(false, true) {
		return errors.New("the projection is running already")
	}
	fitted := false
	pause := retryMin
	for ctx.Err() == nil {
		err := p.fit(ctx)
		if err == nil {
			fitted = true
			p.fitted.Store(true)
			err = p.follow(ctx, func() { pause = retryMin })
		}
		var refused *ErrRefused
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &refused):
			p.refuse(err)
			if !fitted {
				return err
			}
			p.options.Logger.Error("stopped applying the log", "error", err, "position", p.Position())
			<-ctx.Done()
			return nil
		}
		p.fail(err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, retryMax)
		case <-ctx.Done():
		}
	}
	return nil
}

// fit checks the file against the log. Only an [ErrRefused] is final.
func (p *Projection) fit(ctx context.Context) error {
	info, err := p.options.Log.Prepare(ctx)
	var unfit *eventlog.ErrTopicUnfit
	if errors.As(err, &unfit) {
		return &ErrRefused{Reason: RefusedUnfit, Detail: err.Error()}
	}
	if err != nil {
		return err
	}
	if err := p.bind(info.ID); err != nil {
		return err
	}
	if err := p.confirm(ctx, p.Position(), info); err != nil {
		return err
	}
	if p.Position() == info.End {
		// Nothing is left that could fail, and no batch may come for long to show it.
		p.fail(nil)
	}
	return nil
}

// confirmations is how often, a second between, the broker must say that the log lacks
// what was applied: at the start of a process, and later. A deposed leader says so for as
// long as it is cut off from its peers and not from this node, and a node that runs had a
// log that went on.
const confirmations, laterConfirmations = 3, 15

// confirm returns an [ErrRefused] if the log does not go on from position, and goes on
// not doing so. The position must have been read before the log was described: the
// other way round, a record applied in between looks like one that the log lost.
func (p *Projection) confirm(ctx context.Context, position events.Position, info eventlog.Info) error {
	times := confirmations
	if p.fitted.Load() {
		times = laterConfirmations
	}
	for i := 1; ; i++ {
		refused := outside(position, info)
		if refused == nil {
			return nil
		}
		if i == times {
			return refused
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		position = p.Position()
		var err error
		if info, err = p.options.Log.Describe(ctx); err != nil {
			return err
		}
	}
}

// outside tells what keeps a reader at a position from reading on. It returns a nil
// error, not a nil *ErrRefused.
func outside(position events.Position, info eventlog.Info) error {
	switch {
	case position > info.End:
		return &ErrRefused{Reason: RefusedAhead, Detail: fmt.Sprintf("this node has applied %d records, and the log ends at %d", position, info.End)}
	case position < info.Start:
		return &ErrRefused{Reason: RefusedGap, Detail: fmt.Sprintf("this node has applied %d records, and the log starts at %d", position, info.Start)}
	}
	return nil
}

// follow applies what the log brings, until something fails.
func (p *Projection) follow(ctx context.Context, healthy func()) (err error) {
	subscription, err := p.options.Log.Subscribe(p.Position())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subscription.Close()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(ctx, cancel)
	}()
	defer func() { cancel(nil); <-watched }()

	for {
		records, err := subscription.Take(ctx, p.options.MaxBatch)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause // of which err is but the echo
		}
		if err != nil {
			return err
		}
		if err := p.apply(records); err != nil {
			return refuseNewer(err)
		}
		if !p.hadCaughtUp.Load() && p.progress.hasCaughtUp() {
			p.noteCaughtUp()
		}
		p.fail(nil)
		healthy()
	}
}

// refuseNewer makes an [ErrRefused] of an error that says that this version can't read a
// record.
func refuseNewer(err error) error {
	if newer := (*events.ErrNewerFormat)(nil); errors.As(err, &newer) {
		return &ErrRefused{Reason: RefusedFormat, Detail: newer.Error()}
	}
	return err
}

// watch asks once a second where the log ends, for the lag, and from time to time
// whether it is still the same log. It ends follow, by cancel, if something is wrong.
func (p *Projection) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	const describeEvery = 10
	for i := 1; ; i++ {
		end, err := p.options.Log.End(ctx)
		if err == nil {
			p.progress.heard(end)
			if p.progress.hasCaughtUp() {
				p.noteCaughtUp()
			}
		}
		if err == nil && (end < p.Position() || i%describeEvery == 0) {
			if err := p.inspect(ctx); err != nil {
				cancel(err)
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// inspect returns an [ErrRefused] if the log is no longer the one that was applied, and
// nil if it is or can't be told.
func (p *Projection) inspect(ctx context.Context) error {
	position := p.Position()
	info, err := p.options.Log.Describe(ctx)
	if err != nil {
		return nil //nolint:nilerr // a broker that is away is no reason to stop
	}
	if err := p.sameTopic(info); err != nil {
		return err
	}
	var refused *ErrRefused
	if err := p.confirm(ctx, position, info); errors.As(err, &refused) {
		return err
	}
	return nil
}
