package commands

import (
	"context"
	"errors"
	"strings"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/problem"
)

// toProblem says an executor's error to a client.
func toProblem(err error) error {
	var refusal *Refusal
	var verdict *VerdictError
	switch {
	case errors.As(err, &refusal):
		return refusal.problem()
	case errors.As(err, &verdict) && verdict.Confirmed:
		return problem.OutcomeUnknown.Because(err, "The log has the write, and this node did not learn in time whether it holds."+because(verdict.Stuck)+" Read the resource to see whether it happened.")
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
	case errors.Is(err, projections.ErrOverloaded):
		return problem.Overloaded.Because(err, "The write model could not be read in time because too many reads are running. Nothing was done; try again.")
	case errors.Is(err, context.Canceled):
		return problem.NotReady.Because(err, "The request was given up.")
	}
	if p := api.Unready(err, "Nothing was written. Another node may take the write."); p != nil {
		return p
	}
	return err
}

// because is what a client is told of why a node could not learn a verdict, with a space
// before it; empty if nothing is wrong with the node.
func because(stuck error) string {
	if p := api.Unready(stuck, ""); p != nil {
		return " " + strings.TrimSpace(p.Detail)
	}
	return ""
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
