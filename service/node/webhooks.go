package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process"
)

// openWebhooks starts to deliver webhooks, if there are any. A mistake in their file stops the start.
func (n *Node) openWebhooks() (err error) {
	if n.Config.Webhooks == "" || n.Feed == nil {
		return nil
	}
	if !n.keepsJournal() {
		return errors.New("--webhooks (CLUSTERLITE_WEBHOOKS) needs the journal of events, but --journal (CLUSTERLITE_JOURNAL) is off")
	}
	n.hooks, err = webhooks.Open(webhooks.Options{
		Path: n.Config.Webhooks, Node: n.NodeID, Source: n.Source(), Agent: "ClusterLite/" + process.Version(), Feed: n.Feed(n), Model: n.Model, Log: n.Log,
		ReadyLag: n.ReadyLag, Announced: n.lastAnnounced, Logger: n.Logger, Timing: webhooks.DefaultTiming,
		Lookup: func(ctx context.Context, node string) (roster.Entry, bool, error) {
			return roster.Find(ctx, n.Log, node)
		},
	})
	if err != nil {
		return fmt.Errorf("the webhooks of --webhooks (CLUSTERLITE_WEBHOOKS): %w", err)
	}
	n.Registry.MustRegister(n.hooks.Metrics())
	n.group.Go("the webhooks", n.hooks.Run)
	return nil
}

// lastAnnounced returns when the last announcement began that the brokers confirmed.
func (n *Node) lastAnnounced() time.Time {
	if at := n.announced.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// webhooks describes the webhooks for the status; nil if there are none.
func (n *Node) webhooks(ctx context.Context) []webhooks.Status {
	if n.hooks == nil {
		return nil
	}
	list, err := n.hooks.List(ctx)
	if err != nil {
		return nil // the rest of the status says what is wrong with the projection
	}
	return list.Webhooks
}
