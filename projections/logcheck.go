package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// noteOther has the file remember that it was built from records that the log lost, since
// some that came in their place may have been applied.
func (p *Projection) noteOther(detail string) {
	p.applying.Lock()
	defer p.applying.Unlock()
	if err := p.serving.Load().Writer.Remark(context.Background(), applier.MetaOther, detail); err != nil {
		p.options.Logger.Error("could not save that the log holds other records than this node has applied", "error", err)
	}
}

// prepare has the log ready and describes it. A missing topic is made for a new file
// alone: to make one for a file that was built from a topic would put an empty log in the
// place of one that was lost, and let the loss look like a fresh start. That is an
// [refusal.Error], once the broker has said for some seconds that the topic is not there.
func (p *Projection) prepare(ctx context.Context) (eventlog.Info, error) {
	topic, id := p.origin()
	if id == "" {
		return p.options.Log.Prepare(ctx)
	}
	times := confirmations
	if p.life.hasFitted() {
		times = laterConfirmations
	}
	for i := 1; ; i++ {
		_, err := p.options.Log.Describe(ctx)
		if err == nil {
			return p.options.Log.Prepare(ctx)
		}
		if !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			return eventlog.Info{}, err
		}
		if i == times {
			return eventlog.Info{}, &refusal.Error{Reason: refusal.Topic, Detail: fmt.Sprintf("this node's file was built from topic %s with id %s, but the broker has no topic %s", topic, id, p.options.Log.Topic())}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return eventlog.Info{}, ctx.Err()
		}
	}
}

// origin is the topic that the file was built from, by name and id; empty for a new file.
func (p *Projection) origin() (topic, id string) {
	p.applying.Lock()
	defer p.applying.Unlock()
	meta := p.serving.Load().Writer.Meta
	return meta[applier.MetaTopic], meta[applier.MetaTopicID]
}

// sameTopic returns a [refusal.Error] if what serves was built from another topic.
func (p *Projection) sameTopic(info eventlog.Info) error {
	p.applying.Lock() // bind may be under way
	defer p.applying.Unlock()
	return p.serving.Load().Writer.SameTopic(p.options.Log.Topic(), info.ID) // from memory
}

// fit checks the file against the log. An [refusal.Error] is final, but for [refusal.Ahead]
// if it has fitted before.
func (p *Projection) fit(ctx context.Context) error {
	info, err := p.prepare(ctx)
	var unfit *eventlog.UnfitTopicError
	if errors.As(err, &unfit) {
		return &refusal.Error{Reason: refusal.Unfit, Detail: err.Error()}
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

// confirm returns a [refusal.Error] if the log does not go on from what was applied, and
// goes on not doing so.
func (p *Projection) confirm(ctx context.Context, info eventlog.Info) error {
	times := confirmations
	if p.life.hasFitted() {
		times = laterConfirmations
	}
	at := p.mark() // fit runs while nothing is applied
	for i := 1; ; i++ {
		err := at.GoesOn(ctx, p.options.Log, info)
		refused := (*refusal.Error)(nil)
		if !errors.As(err, &refused) || refused.Reason == refusal.Other || i == times {
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
			p.progress.Heard(end)
			if p.progress.HasCaughtUp() {
				p.noteCaughtUp()
			}
		}
		doubt = doubt || err != nil || end < now.Position
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
	var refused *refusal.Error
	return errors.Is(err, errDoubt) || errors.As(err, &refused)
}

// inspect returns nil if the log is the one that was applied, a [refusal.Error] if it is
// not, errDoubt if fit has to find out, and any other error if the broker can't be asked.
// now and known are marks of before, known of some time before.
func (p *Projection) inspect(ctx context.Context, now, known continuity.Mark) error {
	info, err := p.options.Log.Describe(ctx)
	if err != nil {
		return err
	}
	if err := p.sameTopic(info); err != nil {
		return err
	}
	if continuity.Outside(now.Position, info) != nil {
		return errDoubt
	}
	return known.IsIn(ctx, p.options.Log, info)
}
