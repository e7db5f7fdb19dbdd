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

// freshen waits until the model is as fresh as the request asks, and tells which
// consistency that gives. The error is a problem.
func (a *API) freshen(r *http.Request) (events.Consistency, error) {
	asked, err := contract.AskedConsistency(r, events.Strong, events.Linearizable, events.Eventual)
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
	ctx, cancel := context.WithTimeout(r.Context(), a.Wait)
	defer cancel()
	target, given := events.Position(least), want
	end, err := a.end(ctx, want)
	switch {
	case err == nil:
		target = max(target, end)
	case asked == events.Unspecified:
		// Better an older answer that says so than none: see docs/explanation/design.md.
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

// end gives the position that a consistency needs. The error is a problem.
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

// served refuses a read that takes what there is, if that must not be given: else a node
// that has just been started would answer that there is nothing. Nginx then asks
// another.
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
	// A node that is far behind would only make the client wait before it says so.
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
		return notReady(err) // that is why it did not get there
	}
	return problem.ReadModelBehind.New(fmt.Sprintf("This node is at position %d; the read requires position %d. Retry later.", a.Model.Position(), target))
}

// elsewhere is what a client is told of a read that this node can't serve.
const elsewhere = "Retry: another node may serve the read."

// notReady says why this node can't serve a read.
func notReady(err error) *problem.Problem {
	if p := contract.Unready(err, elsewhere); p != nil {
		return p
	}
	return problem.NotReady.Because(err, "This node is not ready. "+elsewhere)
}
