package commands

import (
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// New makes the API that takes writes on a node.
func New(n *node.Node, writes settings.Writes) *API {
	return &API{
		Executor: &Executor{
			Log: n.Log, Model: n.Model, Wait: writes.Wait,
			Source:  n.Source(),
			Metrics: NewMetrics(n.Registry), Tracer: n.Tracing.Tracer("github.com/clusterlite/clusterlite/commands"),
		},
		Collections: n.Collections,
		MaxBody:     int(n.MaxBody),
		SpoolDir:    n.DataDir,
		Logger:      n.Logger,
	}
}
