package node

import (
	"context"
	"time"
)

// awaitReady logs when the node is ready for the first time. Until then it logs the
// progress every few seconds.
func (n *Node) awaitReady(ctx context.Context) {
	const (
		poll  = 20 * time.Millisecond
		every = 3 * time.Second
	)
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	next := time.Now().Add(every)
	for {
		err := n.ready()
		if err == nil {
			n.Logger.Info("ready", "position", n.Model.Position())
			if n.Ready != nil {
				n.Ready(n)
			}
			return
		}
		if now := time.Now(); now.After(next) {
			next = now.Add(every)
			n.Logger.Info("not ready yet", "reason", err, "rate", n.Model.Rate())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
