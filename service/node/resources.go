package node

import (
	"maps"
	"net/http"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/node/diagnostics"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
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
