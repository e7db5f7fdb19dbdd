package commands

import (
	"context"
	"errors"
	"strings"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/problem"
)

// toProblem says an executor's error to a client.
func toProblem(err error) error {
	var refusal *Refusal
	var stopped *projections.ErrRefused
	switch {
	case errors.As(err, &refusal):
		return refusal.problem()
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		return problem.OutcomeUnknown.Because(err, "The log did not confirm the write in time. Read the resource to see whether it happened.")
	case errors.Is(err, eventlog.ErrTooLarge):
		return problem.BodyTooLarge.Because(err, "The document is larger than an event may be.")
	case errors.Is(err, eventlog.ErrUnreachable), errors.Is(err, eventlog.ErrClosed):
		return problem.BrokerUnreachable.Because(err, "No broker that leads the log answers.")
	case errors.Is(err, ErrBehind):
		return problem.ReadModelBehind.Because(err, "The write would be refused, and whether rightly could not be made sure of in time.")
	case errors.Is(err, ErrInFlight):
		return problem.IdempotencyInFlight.Because(err, "Try again: the answer will be that of the first request.")
	case errors.Is(err, ErrContended):
		return problem.Overloaded.Because(err, "Others change the resource too often.")
	case errors.As(err, &stopped):
		return problem.NotReady.Because(err, "This node has stopped following the log. Another may take the write.")
	case errors.Is(err, projections.ErrOverloaded):
		return problem.Overloaded.Because(err, "The write model could not be read in time because too many reads are running. Nothing was done; try again.")
	case errors.Is(err, context.Canceled):
		return problem.NotReady.Because(err, "The request was given up.")
	default:
		return err
	}
}

func (r *Refusal) problem() *problem.Problem {
	switch r.Kind {
	case NotFound:
		return problem.NotFound.New("There is no entity with this id.")
	case VersionMismatch:
		return r.Match.Mismatch(r.Version)
	case Taken:
		return problem.UniqueTaken.New("Another entity has this value of " + r.Field + ".").
			With(problem.FieldError{Pointer: "/" + r.Field, Detail: "is taken"})
	case KeyReused:
		return problem.IdempotencyKeyReused.New("The Idempotency-Key came before, with another method, path or body.")
	case TooLarge:
		return problem.BodyTooLarge.New(sentence(r.Detail))
	default:
		return invalid(sentence(r.Detail), r.Violations)
	}
}

// sentence makes a sentence of the text of an error.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
