package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// bootstrap restores the read model of a node that has none from a snapshot, if --bootstrap
// is set. The node is ready once it has read the rest of the log.
func (n *Node) bootstrap(ctx context.Context) error {
	if err := snapshots.Clean(n.DataDir); err != nil {
		return err
	}
	there, err := datafolder.Exists(n.DataDir)
	if err != nil || there || len(n.Bootstrap) == 0 {
		return err
	}
	stop, err := n.serveStarting()
	if err != nil {
		return err
	}
	err = snapshots.Finder{Sources: n.Bootstrap, Providers: n.Stores, Access: n.access, Log: n.Log, Logger: n.Logger}.Bootstrap(ctx, n.DataDir)
	if err := errors.Join(stop(), ctx.Err()); err != nil {
		return err
	}
	if err != nil {
		// A snapshot only saves time. The log has everything; if it does not, that is
		// reported later.
		n.Logger.Warn("could not start from a snapshot; reading the log from its beginning", "error", err)
	}
	return nil
}

// serveStarting answers on the admin address that the process is alive but not ready.
// Fetching a snapshot may take minutes, and the process must not be taken for dead
// meanwhile.
func (n *Node) serveStarting() (stop func() error, err error) {
	l, err := web.Listen(n.AdminAddr)
	if err != nil {
		return nil, fmt.Errorf("listen on the admin address: %w", err)
	}
	operators := n.operators
	operators.Local = admin.Loopback(l.Addr())
	starting := errors.New("starting: looking for a snapshot")
	h := admin.Handler(admin.Source{
		Node:      n.NodeID,
		Operators: operators,
		Ready:     func() error { return starting },
		Status:    func(context.Context) (any, error) { return nil, starting },
		Registry:  n.Registry,
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, l, n.adminTLS, h, n.Logger) }()
	return func() error { cancel(); return <-served }, nil
}

// sendTimeout is how long a client may take to receive a part of a snapshot.
const sendTimeout = 30 * time.Second

// snapshot sends a snapshot of the read model.
func (n *Node) snapshot(w http.ResponseWriter, r *http.Request) {
	select {
	case n.snapshotting <- struct{}{}:
		defer func() { <-n.snapshotting }()
	default:
		admin.WriteProblem(w, problem.Overloaded.New("The node is already creating a snapshot. Retry later."))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	// Copying the file takes time, during which the client must not take this node for
	// dead.
	copied := admin.Working(w)
	defer copied()
	out := &sender{out: stream.NewWriter(w, sendTimeout), begin: copied}
	m, err := snapshots.Write(r.Context(), out, n.Model, n.DataDir, n.NodeID)
	switch {
	case err == nil:
		n.Logger.Info("sent a snapshot", "position", m.Position, "bytes", out.sent)
	case out.sent > 0:
		n.Logger.Warn("sending a snapshot was interrupted", "error", err)
		panic(http.ErrAbortHandler) // the only way to signal the error to the client
	case errors.Is(err, projections.ErrBusy):
		copied()
		admin.WriteProblem(w, problem.Overloaded.Because(err, "The node is running the maximum number of long reads. Retry later."))
	default:
		copied()
		n.Logger.Warn("could not create a snapshot", "error", err)
		admin.WriteProblem(w, problem.Internal.New(err.Error()))
	}
}

// A sender sends a snapshot, and counts its bytes. It gives up on a client that has stopped
// reading.
type sender struct {
	out   stream.Writer
	begin func() // called before anything is written
	sent  int64
}

func (s *sender) Write(p []byte) (int, error) {
	s.begin()
	n, err := s.out.Write(p)
	s.sent += int64(n)
	return n, err
}
