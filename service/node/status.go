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
	// Ready tells whether it serves, and Reason why not.
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
	projections.Status
	// Rebuild tells of the rebuild that runs, or of the last one since the process
	// started; null if there was none.
	Rebuild *projections.RebuildStatus `json:"rebuild"`
	Version string                     `json:"version"`
}

func (n *Node) status(ctx context.Context) (any, error) {
	s, err := n.Model.Status(ctx)
	told := status{Node: n.NodeID, Role: n.Role, Ready: true, Status: s, Version: process.Version()}
	if unready := n.Model.Ready(n.ReadyLag); unready != nil {
		told.Ready, told.Reason = false, unready.Error()
	}
	if r, any := n.Model.Rebuild(); any {
		told.Rebuild = &r
	}
	return told, err
}
