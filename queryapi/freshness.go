package queryapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// freshen waits until the model is as fresh as the request asks for, and returns the consistency
// of the response. The error is a problem.
func (a *API) freshen(r *http.Request) (events.Consistency, error) {
	asked, err := contract.RequestedConsistency(r, events.Strong, events.Linearizable, events.Eventual)
	if err != nil {
		return "", err
	}
	least, err := contract.MinPosition(r)
	if err != nil {
		return "", err
	}
	want := asked
	if asked == events.Unspecified {
		want = a.Default
	}
	if want == events.Eventual && least == 0 {
		return events.Eventual, a.served()
	}
	ctx, cancel := a.timers.WithTimeout(r.Context(), a.Wait)
	defer cancel()
	target, given := events.Position(least), want
	end, err := a.end(ctx, want)
	switch {
	case err == nil:
		target = max(target, end)
	case asked == events.Unspecified:
		// An older response that says so is better than none: see docs/explanation/design.md.
		given = events.Eventual
	default:
		return "", err
	}
	if err := a.waitFor(ctx, target); err != nil {
		return "", err
	}
	if given == events.Eventual {
		return given, a.served()
	}
	if err := a.Model.Stuck(); err != nil {
		return "", notReady(err)
	}
	return given, nil
}

// end returns the position that a consistency requires. The error is a problem.
func (a *API) end(ctx context.Context, want events.Consistency) (events.Position, error) {
	switch want {
	case events.Strong:
		end, err := a.Log.End(ctx)
		if err != nil {
			return 0, problem.BrokerUnreachable.Because(err, "The request requires strong consistency, but the node can't reach the broker to find the end of the log. Retry later, or accept eventual consistency.")
		}
		return end, nil
	case events.Linearizable:
		end, err := a.Log.Barrier(ctx)
		if err != nil {
			return 0, problem.BrokerUnreachable.Because(err, "The request requires linearizable consistency, but no broker proved in time that it leads the log. Retry later, or accept a weaker consistency.")
		}
		return end, nil
	default:
		return 0, nil
	}
}

// served returns a problem if the node must not answer reads at all. Otherwise a node that has
// just started would report that nothing exists. Nginx then tries another node.
func (a *API) served() error {
	if err := a.Model.Ready(a.MaxLag); err != nil {
		return notReady(err)
	}
	return nil
}

func (a *API) waitFor(ctx context.Context, target events.Position) error {
	if a.Model.Position() >= target {
		return nil
	}
	// If the node is far behind, waiting would only delay the error.
	if err := a.served(); err != nil {
		return err
	}
	err := a.Model.WaitFor(ctx, target)
	if err == nil {
		return nil
	}
	if p := contract.Unready(err, elsewhere); p != nil {
		return p
	}
	if errors.Is(err, eventlog.ErrClosed) {
		return problem.NotReady.Because(err, "The node is shutting down. Retry: another node may serve the read.")
	}
	if err := a.Model.Stuck(); err != nil {
		return notReady(err) // the reason why the model did not get there
	}
	if a.beyond(ctx, target) {
		return problem.MalformedRequest.New(fmt.Sprintf("The log does not reach position %d, which the request asks for. The position comes from another store, or from a topic that was replaced. Read the data again, and go on from the Clusterlite-Position of that response.", target))
	}
	return problem.ReadModelBehind.New(fmt.Sprintf("This node is at position %d; the read requires position %d. Retry later.", a.Model.Position(), target))
}

// beyond reports that the log has proved to end before a position. The end that a broker reports is not
// enough: a client may have got the position through a broker that has replaced this one.
func (a *API) beyond(ctx context.Context, position events.Position) bool {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return false // the client is gone
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Wait) // ctx ended while the node waited
	defer cancel()
	if end, err := a.Log.End(ctx); err != nil || position <= end {
		return false
	}
	end, err := a.Log.Barrier(ctx)
	return err == nil && position > end
}

// elsewhere advises a client whose read this node can't serve.
const elsewhere = "Retry: another node may serve the read."

// notReady returns the problem of a node that can't serve a read.
func notReady(err error) *problem.Problem {
	if p := contract.Unready(err, elsewhere); p != nil {
		return p
	}
	return problem.NotReady.Because(err, "This node is not ready. "+elsewhere)
}
