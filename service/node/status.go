package node

import (
	"context"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/process"
)

// status is what /status shows. The names are part of the admin interface.
type status struct {
	Node string `json:"node"`
	Role string `json:"role"`
	projections.Status
	// Rebuild tells of the rebuild that runs, or of the last one since the process
	// started; null if there was none.
	Rebuild *projections.RebuildStatus `json:"rebuild"`
	Version string                     `json:"version"`
}

func (n *Node) status(ctx context.Context) (any, error) {
	s, err := n.Model.Status(ctx)
	told := status{Node: n.NodeID, Role: n.Role, Status: s, Version: process.Version()}
	if r, any := n.Model.Rebuild(); any {
		told.Rebuild = &r
	}
	return told, err
}
