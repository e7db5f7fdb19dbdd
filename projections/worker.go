package projections

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/projections/refusal"
)

const (
	// retryMin and retryMax bound the pauses after failures. The pauses double from one to the
	// other.
	retryMin = 250 * time.Millisecond
	retryMax = 5 * time.Second
)

// Run applies the log until ctx ends, and then returns nil with the last batch committed. It
// waits for an unreachable broker, and retries what fails.
//
// It returns a [refusal.Error] if the file does not belong to the log when Run first compares
// them. A later refusal stops the projection but not Run: the log was replaced or truncated, or
// a record needs a newer version. [Projection.Err] and [Projection.Ready] report it. If the log
// merely ends before the file's position, Run keeps asking, and continues once the log has the
// missing records again. While the file is damaged, Run waits for its repair. Run may be called
// once.
func (p *Projection) Run(ctx context.Context) error {
	if !p.life.Start() {
		return errors.New("the projection is already running")
	}
	defer p.startGuards(ctx)()
	pause := retryMin
	for ctx.Err() == nil {
		damaged := p.life.DamageNoted() // taken before Damaged is called, so that no damage falls in between
		if repaired, damage := p.life.Damaged(); damage != nil {
			select {
			case <-repaired:
			case <-ctx.Done():
			}
			continue
		}
		err := p.checkLog(ctx)
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
		case isClosed(damaged):
			continue // the damage is the reason, whatever the error is
		case errors.As(err, &refused):
			before := p.Err()
			fitted := p.life.LogConfirmed()
			if fitted && refused.Reason == refusal.Other {
				// A process that is killed once it has reported the refusal must not accept the log at its next
				// start, so the file records it first.
				p.noteOther(refused.Detail)
			}
			if !p.refuse(err) {
				continue // the file was damaged in the meantime; its replacement may fit
			}
			if !fitted {
				return err
			}
			if before == nil || before.Error() != err.Error() {
				p.options.Logger.Error("stopped applying the log", "error", err, "position", p.Position())
			}
			if refused.Reason != refusal.Ahead {
				<-ctx.Done()
				return nil
			}
			// No other records took the place of the missing ones, so they may still exist: a
			// deposed leader does not know of the records that came after it.
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

// Reasons why follow ends although nothing has failed.
var (
	// errDoubt: checkLog has to check whether the log is still the same.
	errDoubt = errors.New("the log may have been replaced")
	// errDamaged: the file has to be rebuilt first.
	errDamaged = errors.New("the projection file is damaged")
)

// follow applies the records of the log until something fails or damaged is closed.
func (p *Projection) follow(ctx context.Context, damaged <-chan struct{}, healthy func()) (err error) {
	at := p.mark() // nothing is applied while follow begins
	subscription, err := p.options.Log.Subscribe(at.Position, at.Last)
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
			return cause // err only echoes the cause
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
