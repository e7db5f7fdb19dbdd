package queryapi

import (
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// New returns the API for reads on a node.
func New(n *node.Node, reads settings.Reads) *API {
	return &API{
		Log: n.Log, Model: n.Model, Collections: n.Collections,
		Default: events.Consistency(reads.Consistency), Wait: reads.Wait, MaxLag: n.ReadyLag, Secured: n.Auth.Required(), Access: n.Access, Models: n.Models, RateLimited: n.Rates.Limited(),
	}
}
