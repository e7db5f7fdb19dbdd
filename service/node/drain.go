package node

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

var errUnannounced = errors.New("the broker does not know the node yet")

// ready returns why the node should get no requests, or nil.
func (n *Node) ready() error {
	if err := n.drain.Begun(); err != nil {
		return err
	}
	if err := n.Model.Ready(n.ReadyLag); err != nil {
		return err
	}
	if n.announced.Load() == nil && n.Model.Degraded() == "" && time.Now().Before(n.unannounced) {
		return errUnannounced
	}
	return nil
}

// startDrain drains the API, and responds once that is done.
func (n *Node) startDrain(w http.ResponseWriter, r *http.Request) {
	n.Logger.Info("draining", "wait", n.DrainWait)
	began := time.Now()
	if err := n.drain.Run(r.Context(), n.DrainWait); err != nil {
		admin.WriteProblem(w, problem.NotReady.New("The drain continues, but the request ended before it was done."))
		return
	}
	n.Logger.Info("drained", "took", time.Since(began))
	admin.Answer(w, http.StatusOK, map[string]bool{"drained": true})
}

// drainBeforeStop gives load balancers time to notice that the process stops. A second signal ends
// the process meanwhile. Requests in flight are finished when the API's turn to stop comes.
func (n *Node) drainBeforeStop() {
	if n.API == nil || n.DrainWait <= 0 {
		return
	}
	n.Logger.Info("draining", "wait", n.DrainWait)
	// The API has 15 seconds to finish, and reports it if that is not enough.
	_ = n.drain.Run(context.Background(), n.DrainWait)
}
