package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/clusterlite/clusterlite/commands/entityqueue"
	"github.com/clusterlite/clusterlite/commands/history"
	"github.com/clusterlite/clusterlite/commands/metrics"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/expiry"
	"github.com/clusterlite/clusterlite/projections/appending"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
)

// Errors of an executor, in addition to those of the log. In all cases nothing was written.
var (
	// ErrBehind: the write model did not reach the end of the log in time, so a rejection could
	// not be confirmed.
	ErrBehind = errors.New("the write model is behind the log")
	// ErrContended: the entity was changed by others again and again until the time for the
	// command was over.
	ErrContended = errors.New("too many concurrent changes to the entity")
	// ErrInFlight: the first request with this idempotency key is still in progress.
	ErrInFlight = errors.New("the first request with this idempotency key is still in progress")
)

// An Executor executes commands. Safe for concurrent use.
type Executor struct {
	// Log is the log to which events are appended.
	Log Log
	// Model is the write model. It follows Log.
	Model WriteModel
	// History has the versions of entities for a Restore. Nil means that the node has none.
	History history.Model
	// Nodes knows which log formats all nodes can read. Nil stands for nodes of this version.
	Nodes Nodes
	// Source names this node in its events.
	Source string
	// Wait is the maximum time from the decision of a command to its verdict.
	Wait time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics and Tracer observe appends. Either may be nil.
	Metrics *metrics.Metrics
	Tracer  trace.Tracer

	timers expiry.Timers
	queues entityqueue.Queues
	keys   keysInFlight
}

// A Result is the result of a command that was executed.
type Result struct {
	// Position is the position after the event of the command.
	Position events.Position
	// Entity is the entity after the command.
	Entity events.Entity
	// Replayed reports that an earlier command with the same idempotency key had this result.
	Replayed bool
}

// Execute decides a command, appends its event and waits for the verdict. If another write came
// first, it decides again on the new state. A command that would leave the entity unchanged, on
// fresh state, appends nothing; see [Changes].
//
// It returns a [Rejection] that was made on fresh state; [eventlog.ErrUnreachable], [ErrBehind],
// [ErrContended] or the error of a context that ended if nothing was written and a retry may succeed;
// or [eventlog.ErrOutcomeUnknown] if the command may or may not be written. If the write model is
// stuck, it appends nothing and returns the error of [WriteModel.Stuck].
func (x *Executor) Execute(ctx context.Context, c Command) (Result, error) {
	if err := x.Model.Stuck(); err != nil {
		return Result{}, err
	}
	ctx, cancel := x.timers.WithTimeout(ctx, x.Wait)
	defer cancel()
	if c.IdempotencyKey != "" {
		done, ok := x.keys.begin(c.IdempotencyKey)
		if !ok {
			return x.replayAnother(ctx, c)
		}
		defer done()
	}
	if c.Action != Create {
		// One command at a time for each entity. Races within this process would only add void
		// events to the log.
		leave, err := x.queues.Enter(ctx, c.Collection.Name()+"/"+c.ID)
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
			// The write model may not have a write of another command service yet.
			if err := x.freshen(ctx, c.Consistency); err != nil {
				return Result{}, err
			}
			fresh = true
			continue
		}
		if err := x.readable(ctx, event); err != nil {
			return Result{}, err
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
			// The model has read our own event back, so it is fresh.
			fresh = true
		default:
			return Result{}, fmt.Errorf("event %s is void: %s: %s", event.ID, v.Reason, v.Detail)
		}
		if ctx.Err() != nil {
			return Result{}, ErrContended
		}
	}
}

// reject returns a rejection that was made on fresh state. But if an earlier request with the
// same idempotency key was executed meanwhile, that request may be the reason for the rejection,
// and its result is returned.
func (x *Executor) reject(ctx context.Context, c Command, rejection error) (Result, error) {
	if r, done, err := x.replay(ctx, c); done || err != nil {
		return r, err
	}
	return Result{}, rejection
}

// append appends an event and waits for its verdict.
func (x *Executor) append(ctx context.Context, event events.Event) appending.Outcome {
	return x.appender().Append(ctx, event)
}

// send appends events together, in order. It returns once the log has confirmed them or has
// failed to.
func (x *Executor) send(ctx context.Context, batch []events.Event) *appending.Sent {
	return x.appender().Send(ctx, batch)
}

func (x *Executor) appender() appending.Appender {
	return appending.Appender{Log: (*tracedLog)(x), Model: x.Model, Observer: x.Metrics}
}

// An entityAt is an entity at a position.
type entityAt struct {
	events.Entity
	at events.Position
}

// decide decides a command on the current state of the model, including the holders of unique
// values.
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
	if rejection == nil {
		// Before the unique values, about which it would say something.
		rejection = c.Asker.permit(c.Action, before.Entity, event)
	}
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
	// After a property has become unique, the next write claims its value even if it changes
	// nothing.
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

// state reads the state for a decision, and the entity before the command.
func (x *Executor) state(ctx context.Context, c Command) (State, entityAt, error) {
	if c.Action == Create {
		return State{}, entityAt{}, nil // the id is new
	}
	e, found, at, err := x.Model.Entity(ctx, c.Collection.Name(), c.ID)
	if err == nil && found && e.Deleted && c.Action == Restore {
		return x.deletedState(ctx, c, e, at)
	}
	if err != nil || !found || e.Deleted {
		return State{}, entityAt{}, err
	}
	if !c.Asker.Policy.MayRead(c.Asker.Caller, e.Rendered) {
		// What the caller may not read does not exist for it, also in the time that the response takes.
		if e.Cached {
			err = x.Model.ReadAsMissing(ctx, c.Collection.Name(), c.ID)
		}
		return State{}, entityAt{}, err
	}
	s := State{Version: e.Version, CreatedAt: e.CreatedAt}
	if c.Action == Patch || (c.Action == Replace || c.Action == Restore) && (c.IdempotencyKey == "" || len(c.Kept) > 0) {
		if s.Document, err = document.ParseStored(e.Rendered); err != nil {
			return State{}, entityAt{}, x.Model.ReportDamage(fmt.Errorf("read the document of %s/%s: %w", c.Collection.Name(), c.ID, err))
		}
	}
	before := events.Entity{Collection: c.Collection.Name(), ID: e.ID, Version: e.Version, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, Rendered: e.Rendered}
	return s, entityAt{before, at}, nil
}

// deletedState is state for a Restore of a deleted entity.
func (x *Executor) deletedState(ctx context.Context, c Command, deleted reads.Entity, at events.Position) (State, entityAt, error) {
	before, err := x.beforeDeletion(ctx, c, deleted.Version, at)
	if err != nil {
		return State{}, entityAt{}, err
	}
	if !c.Asker.Policy.MayRead(c.Asker.Caller, before.Rendered) {
		return State{}, entityAt{}, nil // what the caller could not read does not exist for it
	}
	s := State{Version: deleted.Version, Deleted: true, CreatedAt: deleted.CreatedAt}
	if len(c.Kept) > 0 {
		if s.Document, err = document.Parse(before.Document); err != nil {
			return State{}, entityAt{}, x.Model.ReportDamage(fmt.Errorf("read the document of %s/%s before its deletion: %w", c.Collection.Name(), c.ID, err))
		}
	}
	return s, entityAt{events.Entity{
		Collection: c.Collection.Name(), ID: deleted.ID, Version: deleted.Version, Deleted: true,
		CreatedAt: deleted.CreatedAt, UpdatedAt: deleted.UpdatedAt, Rendered: before.Rendered,
	}, at}, nil
}

// beforeDeletion returns an entity as it was before a version that is its deletion.
func (x *Executor) beforeDeletion(ctx context.Context, c Command, version int64, at events.Position) (history.Version, error) {
	v, err := history.Find(x.History, c.Collection.Name(), c.ID, version-1)
	if errors.Is(err, journal.ErrNotFound) {
		// The journal shows a batch only after the read model does.
		if err := x.Model.WaitFor(ctx, at); err != nil {
			return v, fmt.Errorf("%w: %w", ErrBehind, err)
		}
		v, err = history.Find(x.History, c.Collection.Name(), c.ID, version-1)
	}
	if errors.Is(err, journal.ErrNotFound) {
		return v, fmt.Errorf("%w: %w", history.ErrUnreadable, err)
	}
	return v, err
}

// visible returns an earlier version of an entity. A version that the caller may not read does not
// exist for it, and of an entity that the caller may not read, no version does. Such an entity gets
// the error of one that does not exist, which a node whose journal begins late can't know.
func (x *Executor) visible(ctx context.Context, c Command, version int64) (history.Version, error) {
	v, err := history.Find(x.History, c.Collection.Name(), c.ID, version)
	if err == nil {
		if c.Asker.Policy.MayRead(c.Asker.Caller, v.Rendered) {
			return v, nil
		}
		err = journal.ErrNotFound
	}
	known := errors.Is(err, journal.ErrNotFound) || errors.Is(err, journal.ErrNotHeld)
	if !known || !c.Asker.Policy.Inspects(access.Read, c.Asker.Caller) {
		return history.Version{}, err
	}
	s, _, unread := x.state(ctx, c)
	switch {
	case unread != nil && !errors.Is(unread, history.ErrUnreadable):
		return history.Version{}, unread
	case s.Version == 0: // missing or hidden
		return history.Find(x.History, c.Collection.Name(), uuid.NewString(), version)
	}
	return history.Version{}, err
}

// readable returns an error if a node could not read an event that needs a newer log format. The node
// would stop before it.
func (x *Executor) readable(ctx context.Context, e events.Event) error {
	if x.Nodes == nil || e.Kind.Format() == events.Created.Format() {
		return nil
	}
	return unanswered(ctx, x.Nodes.Read(ctx, e.Kind.Format()))
}

// unanswered returns the error of a question to the brokers. If ctx has ended, they did not answer in
// time, and the error wraps [eventlog.ErrUnreachable].
func unanswered(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", eventlog.ErrUnreachable, err)
	}
	return err
}

// freshen brings the write model up to the current end of the log. For linearizable consistency,
// a barrier proves that the broker still leads the log.
func (x *Executor) freshen(ctx context.Context, consistency events.Consistency) error {
	ask := x.Log.End
	if consistency == events.Linearizable {
		ask = x.Log.Barrier
	}
	end, err := ask(ctx)
	if err != nil {
		return unanswered(ctx, err)
	}
	if err := x.Model.WaitFor(ctx, end); err != nil {
		if stuck := x.Model.Stuck(); stuck != nil {
			return stuck // the reason why the model did not get there
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
