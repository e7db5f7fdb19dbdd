package commands

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/appending"
	"github.com/clusterlite/clusterlite/projections/verdicts"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// An Outcome is the result of one command of a batch.
type Outcome struct {
	// Result is the result of a command that was executed. Its entity is not rendered, unless the
	// result is replayed.
	Result
	// Err is nil, or one of the errors of [Executor.Execute].
	Err error
}

// A Batch holds commands that were decided and whose events were appended. Some may have their
// outcome already.
type Batch struct {
	x        *Executor
	ctx      context.Context // limits the time from the decision to the verdicts
	cancel   context.CancelFunc
	commands []Command
	outcomes []Outcome
	events   []events.Event
	appended []int // the indexes of the commands whose events are in sent, in order
	sent     *appending.Sent
}

// BeginBatch begins to execute commands, all of which must be Create, for one collection, with one
// consistency. Each succeeds or fails on its own. Their events are appended together, in order,
// so a batch costs about as much as one command. BeginBatch decides the commands and appends their
// events. It returns once the log has confirmed them or has failed to. Another batch can begin
// then; its events follow these. The caller must call [Batch.Wait] once. Safe for concurrent use.
func (x *Executor) BeginBatch(ctx context.Context, commands []Command) *Batch {
	b := &Batch{x: x, commands: commands, outcomes: make([]Outcome, len(commands)), events: make([]events.Event, len(commands))}
	b.ctx, b.cancel = context.WithTimeout(ctx, x.Wait)
	if err := x.Model.Stuck(); err != nil {
		b.failAll(b.all(), err)
		return b
	}
	rejected, appendable := b.decide(b.all())
	if len(rejected) > 0 && commands[0].Consistency != events.Eventual {
		// The model may be behind. Ask the log for its end, once for all of these commands.
		if err := x.freshen(b.ctx, commands[0].Consistency); err != nil {
			b.failAll(rejected, err)
			rejected = nil
		} else {
			var more []int
			rejected, more = b.decide(rejected)
			appendable = append(appendable, more...)
			slices.Sort(appendable) // the order of the commands
		}
	}
	for _, i := range rejected {
		b.outcomes[i].Result, b.outcomes[i].Err = x.reject(b.ctx, commands[i], b.outcomes[i].Err)
	}
	b.append(appendable)
	return b
}

func (b *Batch) all() []int {
	all := make([]int, len(b.commands))
	for i := range all {
		all[i] = i
	}
	return all
}

func (b *Batch) failAll(which []int, err error) {
	for _, i := range which {
		b.outcomes[i].Err = err
	}
}

// decide decides commands on the current state of the model. It returns the commands that were
// rejected, and those with an event to append. All others have their outcome: an error, or the
// outcome of an earlier command with the same key.
func (b *Batch) decide(which []int) (rejected, appendable []int) {
	var decided []int
	used, err := b.usedKeys(which)
	if err != nil {
		b.failAll(which, err)
		return nil, nil
	}
	for _, i := range which {
		o := &b.outcomes[i]
		var rejection *Rejection
		var done bool
		err := web.Guard(func() (err error) {
			if used[b.commands[i].IdempotencyKey] {
				if o.Result, done, err = b.x.replay(b.ctx, b.commands[i]); done || err != nil {
					return err
				}
			}
			b.events[i], rejection, err = b.x.decideCreate(b.commands[i])
			return err
		})
		switch {
		case err != nil:
			o.Err = err
		case rejection != nil:
			o.Err = rejection
			rejected = append(rejected, i)
		case !done:
			o.Err = nil
			decided = append(decided, i)
		default:
			o.Err = nil
		}
	}
	taken, appendable := b.claim(decided)
	rejected = append(rejected, taken...)
	slices.Sort(rejected)
	return rejected, appendable
}

// decideCreate returns the event of a Create. It does not look up the holders of claims.
func (x *Executor) decideCreate(c Command) (events.Event, *Rejection, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return events.Event{}, nil, fmt.Errorf("generate an event id: %w", err)
	}
	event, rejection := Decide(c, State{}, Stamp{EventID: id.String(), Now: x.now(), Source: x.Source})
	if rejection == nil {
		rejection = c.Asker.permit(Create, events.Entity{}, event)
	}
	return event, rejection, nil
}

// usedKeys returns which idempotency keys of the commands the model knows. It takes one read.
func (b *Batch) usedKeys(which []int) (map[string]bool, error) {
	var keys []string
	for _, i := range which {
		if key := b.commands[i].IdempotencyKey; key != "" {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return b.x.Model.UsedKeys(b.ctx, keys)
}

// claim looks up who holds the unique values of the events. It takes one read. It returns the
// commands that are rejected because another entity holds a value, and the others.
func (b *Batch) claim(which []int) (taken, free []int) {
	var claims []string
	for _, i := range which {
		claims = append(claims, b.events[i].Claims...)
	}
	if len(claims) == 0 {
		return nil, which
	}
	holders, err := b.x.Model.Holders(b.ctx, b.events[which[0]].Collection, claims)
	if err != nil {
		b.failAll(which, err)
		return nil, nil
	}
	for _, i := range which {
		if rejection := rejectTaken(b.events[i], holders); rejection != nil {
			b.outcomes[i].Err = rejection
			taken = append(taken, i)
		} else {
			free = append(free, i)
		}
	}
	return taken, free
}

func rejectTaken(e events.Event, holders map[string]string) *Rejection {
	for _, claim := range e.Claims {
		if holder := holders[claim]; holder != "" && holder != e.EntityID {
			return takenBy(events.ClaimField(claim), holder)
		}
	}
	return nil
}

// append appends the events of commands.
func (b *Batch) append(which []int) {
	if len(which) == 0 {
		return
	}
	batch := make([]events.Event, len(which))
	for n, i := range which {
		batch[n] = b.events[i]
	}
	b.appended, b.sent = which, b.x.send(b.ctx, batch)
}

// Wait waits for the verdicts on the events of the batch, and returns the outcome of each
// command.
func (b *Batch) Wait() []Outcome {
	defer b.cancel()
	if b.sent == nil {
		return b.outcomes
	}
	for n, o := range b.sent.Wait(b.ctx) {
		if i := b.appended[n]; o.Err != nil {
			b.outcomes[i].Err = o.Err
		} else {
			b.judge(i, o.Judgement)
		}
	}
	return b.outcomes
}

func (b *Batch) judge(i int, j verdicts.Judgement) {
	o := &b.outcomes[i]
	switch v := j.Verdict; {
	case v.Outcome == events.Admitted:
		e := b.events[i]
		o.Result = Result{Position: j.Position, Entity: events.Entity{Collection: e.Collection, ID: e.EntityID, Version: e.Version, Claims: e.Claims}}
	case v.Reason == events.ReasonTaken:
		o.Err = takenBy(v.Field, v.Holder)
	case v.Reason == events.ReasonDuplicate:
		r, done, err := b.x.replay(b.ctx, b.commands[i])
		if o.Result, o.Err = r, err; !done && err == nil {
			o.Err = fmt.Errorf("event %s is void: %s: %s", b.events[i].ID, v.Reason, v.Detail)
		}
	default:
		o.Err = fmt.Errorf("event %s is void: %s: %s", b.events[i].ID, v.Reason, v.Detail)
	}
}
