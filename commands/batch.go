package commands

import (
	"context"
	"fmt"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/web"
)

// An Outcome is what became of one command of a batch.
type Outcome struct {
	Result
	// Err is nil, or one of the errors of [Executor.Execute].
	Err error
}

// ExecuteBatch executes commands that all are Create, each on its own: one that is
// refused fails alone. Their events are appended together, in order, so a batch costs
// about what one command does. The commands ask for the same consistency. Safe for
// concurrent use.
func (x *Executor) ExecuteBatch(ctx context.Context, batch []Command) []Outcome {
	b := execution{x: x, commands: batch, outcomes: make([]Outcome, len(batch)), events: make([]events.Event, len(batch)), before: make([]entityAt, len(batch))}
	if err := x.Model.Stuck(); err != nil {
		b.failAll(b.all(), err)
		return b.outcomes
	}
	ctx, cancel := context.WithTimeout(ctx, x.Wait)
	defer cancel()
	refused, appendable := b.decide(ctx, b.all())
	if len(refused) > 0 && batch[0].Consistency != api.Eventual {
		// Perhaps on a state that is behind. Asked once for all of them.
		if err := x.freshen(ctx, batch[0].Consistency); err != nil {
			b.failAll(refused, err)
			refused = nil
		} else {
			var more []int
			refused, more = b.decide(ctx, refused)
			appendable = append(appendable, more...)
			slices.Sort(appendable) // in order, as they came
		}
	}
	for _, i := range refused {
		b.outcomes[i].Result, b.outcomes[i].Err = x.refuse(ctx, batch[i], b.outcomes[i].Err)
	}
	b.append(ctx, appendable)
	return b.outcomes
}

// An execution is a batch that is being executed.
type execution struct {
	x        *Executor
	commands []Command
	outcomes []Outcome
	events   []events.Event
	before   []entityAt
}

func (b *execution) all() []int {
	all := make([]int, len(b.commands))
	for i := range all {
		all[i] = i
	}
	return all
}

func (b *execution) failAll(which []int, err error) {
	for _, i := range which {
		b.outcomes[i].Err = err
	}
}

// decide decides commands on the state as it is. It gives those that were refused, and
// those that have an event to append.
func (b *execution) decide(ctx context.Context, which []int) (refused, appendable []int) {
	for _, i := range which {
		var refusal *Refusal
		var decided bool
		err := web.Guard(func() (err error) {
			refusal, decided, err = b.decideOne(ctx, i)
			return err
		})
		switch o := &b.outcomes[i]; {
		case err != nil:
			o.Err = err
		case refusal != nil:
			o.Err = refusal
			refused = append(refused, i)
		case decided:
			o.Err = nil
			appendable = append(appendable, i)
		}
	}
	return refused, appendable
}

// decideOne decides one command. Unless it is decided, and has an event to append, it was
// refused, or an earlier command with its key did it and it has its outcome.
func (b *execution) decideOne(ctx context.Context, i int) (refusal *Refusal, decided bool, err error) {
	r, done, err := b.x.replay(ctx, b.commands[i])
	if done || err != nil {
		b.outcomes[i].Result, b.outcomes[i].Err = r, err
		return nil, false, err
	}
	event, before, refusal, err := b.x.decide(ctx, b.commands[i])
	b.events[i], b.before[i] = event, before
	return refusal, err == nil && refusal == nil, err
}

// append appends the events and waits for their verdicts.
func (b *execution) append(ctx context.Context, which []int) {
	if len(which) == 0 {
		return
	}
	batch := make([]events.Event, len(which))
	for n, i := range which {
		batch[n] = b.events[i]
	}
	for n, a := range b.x.append(ctx, batch...) {
		if i := which[n]; a.err != nil {
			b.outcomes[i].Err = a.err
		} else {
			b.judge(ctx, i, a.Judgement)
		}
	}
}

func (b *execution) judge(ctx context.Context, i int, j projections.Judgement) {
	o := &b.outcomes[i]
	switch v := j.Verdict; {
	case v.Outcome == events.Admitted:
		o.Result = Result{Position: j.Position, Entity: b.before[i].Next(b.events[i])}
	case v.Reason == events.ReasonTaken:
		o.Err = takenBy(v.Field, v.Holder)
	case v.Reason == events.ReasonDuplicate:
		r, done, err := b.x.replay(ctx, b.commands[i])
		if o.Result, o.Err = r, err; !done && err == nil {
			o.Err = fmt.Errorf("event %s is void: %s: %s", b.events[i].ID, v.Reason, v.Detail)
		}
	default:
		o.Err = fmt.Errorf("event %s is void: %s: %s", b.events[i].ID, v.Reason, v.Detail)
	}
}
