package projections

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/projections/refusal"
)

const (
	// retryMin and retryMax are the pauses after a failure, growing between.
	retryMin = 250 * time.Millisecond
	retryMax = 5 * time.Second
)

// Run applies the log until ctx ends, and then returns nil with the last batch
// committed. It waits for a broker that is away, and tries again what fails.
//
// It returns a [refusal.Error] if the file does not fit the log when it first sees it.
// What makes it refuse later (the log was replaced or cut, a record needs a newer
// version) stops the projection but not Run: [Err] and [Ready] tell.
// A log that ends before what was applied is asked again and again, and the projection goes
// on once it has that again. While the file is damaged Run waits for its repair. Run may be
// called once.
func (p *Projection) Run(ctx context.Context) error {
	if !p.life.Start() {
		return errors.New("the projection is already running")
	}
	defer p.startGuards(ctx)()
	pause := retryMin
	for ctx.Err() == nil {
		damaged := p.life.DamageNoted() // before it is asked for: no damage falls in between
		if repaired, damage := p.life.Damaged(); damage != nil {
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
		var refused *refusal.Error
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errDoubt):
			continue
		case over(damaged):
			continue // whatever the error is, that is why
		case errors.As(err, &refused):
			before := p.Err()
			fitted := p.life.HasFitted()
			if !p.refuse(err) {
				continue // the file was damaged just now; the next one may fit
			}
			if !fitted {
				return err
			}
			if before == nil || before.Error() != err.Error() {
				p.options.Logger.Error("stopped applying the log", "error", err, "position", p.Position())
			}
			if refused.Reason == refusal.Other {
				p.noteOther(refused.Detail)
			}
			if refused.Reason != refusal.Ahead {
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
			return refusal.FromFormat(err)
		}
		p.noteCaughtUp()
		p.fail(nil)
		healthy()
	}
}
