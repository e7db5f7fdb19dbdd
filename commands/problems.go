package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/clusterlite/clusterlite/commands/history"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/appending"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/node/roster"
)

// toProblem turns an error of an executor into a problem for the client.
func toProblem(err error) error {
	var rejection *Rejection
	var verdict *appending.NoVerdictError
	var older *roster.OlderNodeError
	switch {
	case errors.As(err, &rejection):
		return rejection.problem()
	case errors.As(err, &verdict) && verdict.Confirmed:
		return problem.OutcomeUnknown.Because(err, "The write is in the log, but this node could not determine in time whether it was accepted."+because(verdict.Stuck)+" Read the resource to find out or, if the request had an Idempotency-Key, repeat it with the same key.")
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		return problem.OutcomeUnknown.Because(err, "The broker did not confirm the write in time, so it may or may not have happened. Read the resource to find out or, if the request had an Idempotency-Key, repeat it with the same key.")
	case errors.Is(err, eventlog.ErrTooLarge):
		return problem.BodyTooLarge.Because(err, "The document exceeds the maximum size of an event. Nothing was written.")
	case errors.Is(err, eventlog.ErrUnreachable), errors.Is(err, eventlog.ErrClosed):
		return problem.BrokerUnreachable.Because(err, "The node can't reach the broker that leads the log. Nothing was written. Retry later.")
	case errors.Is(err, ErrBehind):
		return problem.ReadModelBehind.Because(err, "The node could not confirm the latest state in time. Nothing was written. Retry later.")
	case errors.Is(err, history.ErrUnreadable):
		return problem.NotReady.Because(err, "This node can't read the version, because it keeps no journal of events, or not yet all of it. Nothing was written. Retry: another node may accept the write. Or read the version, and PUT it.")
	case errors.As(err, &older):
		return problem.NotReady.Because(err, "A deleted entity can be restored only when all nodes run a version of ClusterLite that can read it. "+sentence(older.Error())+" Nothing was written. Retry after the upgrade.")
	case errors.Is(err, ErrInFlight):
		return problem.IdempotencyInFlight.Because(err, "Nothing was written by this request. Retry it to get the response of the first one.")
	case errors.Is(err, ErrContended):
		return problem.Overloaded.Because(err, "Concurrent changes to the same resource prevented the write. Nothing was written. Retry later.")
	case errors.Is(err, projections.ErrOverloaded):
		return problem.Overloaded.Because(err, "The node could not read its write model in time because too many reads are running. Nothing was written. Retry later.")
	case errors.Is(err, context.Canceled):
		return problem.NotReady.Because(err, "The client cancelled the request. Nothing was written.")
	}
	if p := contract.Unready(err, "Nothing was written. Retry: another node may accept the write."); p != nil {
		return p
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return problem.Overloaded.Because(err, "The node could not decide about the write in time. Nothing was written. Retry later.")
	}
	return err
}

// because returns a sentence for the client on why the node could not learn a verdict, after a
// space. It is empty if nothing is known to be wrong with the node.
func because(stuck error) string {
	if p := contract.Unready(stuck, ""); p != nil {
		return " " + strings.TrimSpace(p.Detail)
	}
	return ""
}

func (r *Rejection) problem() *problem.Problem {
	switch r.Kind {
	case NotFound:
		return problem.NotFound.New("No entity has this id.")
	case Forbidden:
		return access.Denied(r.Caller)
	case VersionMismatch:
		return r.Match.Mismatch(r.Version)
	case Gone:
		return problem.VersionMismatch.New(fmt.Sprintf(`The entity was deleted, with version %[1]d, and If-Match: * asks for one that exists. Nothing was changed. To bring it back, send If-Match: "%[1]d", or no If-Match.`, r.Version))
	case Taken:
		return problem.UniqueTaken.New("Another entity already has this value of " + r.Field + ". Nothing was written.").
			With(problem.FieldError{Pointer: "/" + r.Field, Detail: "is already taken"})
	case KeyReused:
		return problem.IdempotencyKeyReused.New("The Idempotency-Key was already used with a different method, path or body. Nothing was written. Use a new key.")
	case TooLarge:
		return problem.BodyTooLarge.New(sentence(r.Detail))
	default:
		return invalid(sentence(r.Detail), r.Violations)
	}
}

// sentence turns the text of an error into a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
