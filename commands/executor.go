package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/appending"
)

// Errors of an executor, beside those of the log.
var (
	// ErrBehind: the write model did not reach the end of the log in time, so a rejection
	// could not be made sure of. Nothing was done.
	ErrBehind = errors.New("the write model is behind the log")
	// ErrContended: others changed the entity again and again, and the command's time
	// ran out. Nothing was done.
	ErrContended = errors.New("too many concurrent changes to the entity")
	// ErrInFlight: the first request with the idempotency key is not done yet. This one
	// did nothing.
	ErrInFlight = errors.New("the first request with this idempotency key is still in progress")
)

// An Executor carries out commands. Safe for concurrent use.
type Executor struct {
	// Log takes the events.
	Log Log
	// Model is the write model. It follows Log.
	Model WriteModel
	// Source names this node in its events.
	Source string
	// Wait bounds a command, from its decision to its verdict.
	Wait time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics and Tracer are told what is appended; nil tells nobody.
	Metrics *Metrics
	Tracer  trace.Tracer

	queues queues
	keys   keysInFlight
}

// A Result is a command that was carried out.
type Result struct {
	// Position is the position after its event.
	Position events.Position
	// Entity is what it left.
	Entity events.Entity
	// Replayed tells that an earlier command with the same idempotency key did it.
	Replayed bool
}

// Execute decides a command, appends its event and waits for the verdict. A command that
// leaves the entity as it is, on fresh state, appends nothing; see [Changes].
//
// It returns a [Rejection] made on fresh state; [eventlog.ErrUnreachable], [ErrBehind] or
// [ErrContended] if nothing was done, and the command can be tried again;
// [eventlog.ErrOutcomeUnknown] if no one can tell. If the write model is stuck it returns
// why, see [projections.Projection.Stuck], and has appended nothing. A lost race for an
// entity is decided again on the new state.
func (x *Executor) Execute(ctx context.Context, c Command) (Result, error) {
	if err := x.Model.Stuck(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, x.Wait)
	defer cancel()
	if c.IdempotencyKey != "" {
		done, ok := x.keys.begin(c.IdempotencyKey)
		if !ok {
			return x.replayAnother(ctx, c)
		}
		defer done()
	}
	if c.Action != Create {
		// One at a time here: to race with ourselves would only fill the log with voids.
		leave, err := x.queues.enter(ctx, c.Collection.Name()+"/"+c.ID)
		if err != nil {
			return Result{}, fmt.Errorf("%w: %w", ErrContended, err)
		}
		defer leave()
	}
	for fresh := c.Consistency == events.Eventual; ; {
		if r, done, err := x.replay(ctx, c); done || err != nil {
			return r, err
		}
		event, before, rejection, err := x.decide(ctx, c)
		if err != nil {
			return Result{}, err
		}
		if rejection != nil {
			if fresh && rejection.Kind == Unchanged {
				return Result{Position: before.at, Entity: before.Entity}, nil
			}
			if fresh {
				return x.reject(ctx, c, rejection)
			}
			// The model may only be behind, of a write through another command service.
			if err := x.freshen(ctx, c.Consistency); err != nil {
				return Result{}, err
			}
			fresh = true
			continue
		}
		outcome := x.append(ctx, event)
		if outcome.Err != nil {
			return Result{}, outcome.Err
		}
		switch v := outcome.Verdict; {
		case v.Outcome == events.Admitted:
			return Result{Position: outcome.Position, Entity: before.Next(event)}, nil
		case v.Reason == events.ReasonTaken:
			return Result{}, takenBy(v.Field, v.Holder)
		case v.Reason == events.ReasonConflict, v.Reason == events.ReasonDuplicate:
			// The model has read our own event back, which is later than the command.
			fresh = true
		default:
			return Result{}, fmt.Errorf("event %s is void: %s: %s", event.ID, v.Reason, v.Detail)
		}
		if ctx.Err() != nil {
			return Result{}, ErrContended
		}
	}
}

// refuse gives a rejection that was made on fresh state, unless an earlier request with the
// same idempotency key was done since the last look: it may be what the rejection is about.
func (x *Executor) reject(ctx context.Context, c Command, rejection error) (Result, error) {
	if r, done, err := x.replay(ctx, c); done || err != nil {
		return r, err
	}
	return Result{}, rejection
}

// append appends an event and waits for its verdict.
func (x *Executor) append(ctx context.Context, event events.Event) appending.Outcome {
	return x.send(ctx, []events.Event{event}).Wait(ctx)[0]
}

// send appends events together, in order. It returns once the log has confirmed them or has
// failed to.
func (x *Executor) send(ctx context.Context, batch []events.Event) *appending.Sent {
	return appending.Appender{Log: (*tracedLog)(x), Model: x.Model, Observer: x.Metrics}.Send(ctx, batch)
}

// An entityAt is an entity as the write model has it at a position.
type entityAt struct {
	events.Entity
	at events.Position
}

// decide decides on the write model as it is, holders of unique values included.
func (x *Executor) decide(ctx context.Context, c Command) (event events.Event, before entityAt, rejection *Rejection, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return event, before, nil, fmt.Errorf("generate an event id: %w", err)
	}
	state, before, err := x.state(ctx, c)
	if err != nil {
		return event, before, nil, err
	}
	event, rejection = Decide(c, state, Stamp{EventID: id.String(), Now: x.now(), Source: x.Source})
	if rejection != nil {
		return event, before, rejection, nil
	}
	claimed := true
	for _, claim := range event.Claims {
		holder, err := x.Model.Holder(ctx, event.Collection, claim)
		if err != nil {
			return event, before, nil, err
		}
		if holder != "" && holder != c.ID {
			return event, before, takenBy(events.ClaimField(claim), holder), nil
		}
		claimed = claimed && holder != ""
	}
	// A property that became unique is claimed by the next write, whatever it writes.
	if claimed && !Changes(c, state, event) {
		return event, before, &Rejection{Kind: Unchanged, Version: state.Version, Detail: "the request does not change the entity"}, nil
	}
	return event, before, nil, nil
}

func (x *Executor) now() time.Time {
	if x.Now != nil {
		return x.Now()
	}
	return time.Now()
}

// state reads what a decision needs, and the entity that a command may leave as it is.
func (x *Executor) state(ctx context.Context, c Command) (State, entityAt, error) {
	if c.Action == Create {
		return State{}, entityAt{}, nil // its id is new
	}
	e, found, at, err := x.Model.Entity(ctx, c.Collection.Name(), c.ID)
	if err != nil || !found || e.Deleted {
		return State{}, entityAt{}, err
	}
	s := State{Version: e.Version, CreatedAt: e.CreatedAt}
	if c.Action == Patch || c.Action == Replace && c.IdempotencyKey == "" {
		if s.Document, err = document.ParseStored(e.Rendered); err != nil {
			return State{}, entityAt{}, x.Model.ReportDamage(fmt.Errorf("read the document of %s/%s: %w", c.Collection.Name(), c.ID, err))
		}
	}
	before := events.Entity{Collection: c.Collection.Name(), ID: e.ID, Version: e.Version, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, Rendered: e.Rendered}
	return s, entityAt{before, at}, nil
}

// freshen brings the write model to the end of the log as of now: as the broker tells
// it, or, for a client that wants proof, as an append shows it.
func (x *Executor) freshen(ctx context.Context, consistency events.Consistency) error {
	ask := x.Log.End
	if consistency == events.Linearizable {
		ask = x.Log.Barrier
	}
	end, err := ask(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", eventlog.ErrUnreachable, err)
		}
		return err
	}
	if err := x.Model.WaitFor(ctx, end); err != nil {
		if stuck := x.Model.Stuck(); stuck != nil {
			return stuck // that is why it did not get there
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: at position %d of %d", ErrBehind, x.Model.Position(), end)
		}
		return err
	}
	return nil
}

func takenBy(field, holder string) *Rejection {
	return &Rejection{Kind: Taken, Field: field, Holder: holder, Detail: fmt.Sprintf("another entity already has this value of %s", field)}
}
