package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/node/diagnostics"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process"
)

// resources are the resources of the admin listener besides health, status and metrics.
func (n *Node) resources() map[string]admin.Methods {
	resources := map[string]admin.Methods{
		snapshots.Path: {http.MethodGet: n.snapshot},

		"/rebuild": {http.MethodPost: n.startRebuild, http.MethodGet: n.showRebuild, http.MethodDelete: n.cancelRebuild},
		"/drain":   {http.MethodPost: n.startDrain},
		"/voids":   {http.MethodGet: n.voids},
		"/digests": {http.MethodGet: n.digests},
		"/verify":  {http.MethodGet: n.verify},
		"/rows":    {http.MethodGet: n.rows},
		"/keys":    {http.MethodGet: n.listKeys},

		diagnostics.LogPath:        {http.MethodGet: n.logged.ServeHTTP},
		diagnostics.SettingsPath:   {http.MethodGet: diagnostics.ServeSettings(diagnostics.Settings(n.Config))},
		diagnostics.GoroutinesPath: {http.MethodGet: diagnostics.ServeGoroutines},
	}
	maps.Copy(resources, sqlmodels.Resources(n.NodeID, n.Models))
	if n.hooks != nil {
		maps.Copy(resources, n.hooks.Resources())
	}
	if n.Pprof {
		maps.Copy(resources, admin.Profiles())
	}
	return resources
}

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
