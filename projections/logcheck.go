package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// noteOther records in the file that it was built from records that the log has lost. The
// worker may have applied some of the records that took their place.
func (p *Projection) noteOther(detail string) {
	p.applying.Lock()
	defer p.applying.Unlock()
	if err := p.serving.Load().Writer.SetMeta(context.Background(), applier.MetaOther, detail); err != nil {
		p.options.Logger.Error("could not save that the log holds other records than this node has applied", "error", err)
	}
}

// prepare prepares and describes the topic. It creates a missing topic only for a new file. If
// the file was built from a topic that is missing, creating it would put an empty log in the
// place of a lost one, and make the loss look like a fresh start. prepare then returns a
// [refusal.Error], once the broker has reported for some seconds that the topic does not exist.
func (p *Projection) prepare(ctx context.Context) (eventlog.Info, error) {
	topic, id := p.origin()
	if id == "" {
		return p.options.Log.Prepare(ctx)
	}
	times := confirmations
	if p.life.LogConfirmed() {
		times = laterConfirmations
	}
	for i := 1; ; i++ {
		_, err := p.options.Log.Describe(ctx)
		if err == nil {
			return p.options.Log.Prepare(ctx)
		}
		if !errors.Is(err, eventlog.ErrNoTopic) {
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

// origin returns the name and the id of the topic that the file was built from. Both are empty
// for a new file.
func (p *Projection) origin() (topic, id string) {
	p.applying.Lock()
	defer p.applying.Unlock()
	meta := p.serving.Load().Writer.Meta
	return meta[applier.MetaTopic], meta[applier.MetaTopicID]
}

// sameTopic returns a [refusal.Error] if the generation that serves was built from another
// topic.
func (p *Projection) sameTopic(info eventlog.Info) error {
	p.applying.Lock() // bind may be running
	defer p.applying.Unlock()
	return p.serving.Load().Writer.SameTopic(p.options.Log.Topic(), info.ID) // compared in memory
}

// checkLog checks whether the file belongs to the log. A [refusal.Error] is final, except for
// [refusal.Ahead] if the file has belonged to the log before.
func (p *Projection) checkLog(ctx context.Context) error {
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
		// No batch is left that could fail, and the next one may not come soon.
		p.fail(nil)
	}
	return nil
}

// confirmations is how many times, one second apart, the broker must report that the log ends
// before the file's position, or begins after it, before that counts: at the start of a
// process, and later. A deposed leader that is cut off from its peers but not from this node
// keeps reporting an early end. A node that is already running has seen a log that continued,
// so it waits longer.
const confirmations, laterConfirmations = 3, 15

// confirm returns a [refusal.Error] if the log repeatedly does not continue from the file's
// position.
func (p *Projection) confirm(ctx context.Context, info eventlog.Info) error {
	times := confirmations
	if p.life.LogConfirmed() {
		times = laterConfirmations
	}
	at := p.mark() // nothing is applied while checkLog runs
	for i := 1; ; i++ {
		err := at.CheckLog(ctx, p.options.Log, info)
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

// watch asks once a second where the log ends, and inspects the log when a [continuity.Watch] says so. It
// ends follow, by cancel, if something is wrong.
func (p *Projection) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	w := continuity.NewWatch(p.mark())
	for {
		now := p.mark()
		end, err := p.options.Log.End(ctx)
		if err == nil {
			p.progress.Heard(end)
			p.noteCaughtUp()
		}
		if since, due := w.Heard(now, end, err); due {
			err := p.inspect(ctx, now, since)
			if stops(err) {
				cancel(err)
				return
			}
			w.Inspected(now, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// stops reports whether an error ends follow.
func stops(err error) bool {
	var refused *refusal.Error
	return errors.Is(err, errDoubt) || errors.As(err, &refused)
}

// inspect returns nil if the log is the one that was applied, a [refusal.Error] if it is not,
// errDoubt if checkLog has to decide, and any other error if the broker can't be asked. Both marks were
// taken before the call, known some time before now.
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
