package node

import (
	"context"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node/diskspace"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process"
)

// status is what /status shows. The names are part of the admin interface.
type status struct {
	Node string `json:"node"`
	Role string `json:"role"`
	// Ready reports whether the node serves, Reason says why it does not, and Degraded what
	// it can't guarantee although it does.
	Ready    bool   `json:"ready"`
	Reason   string `json:"reason,omitempty"`
	Degraded string `json:"degraded,omitempty"`
	projections.Status
	// Disk is the file system of the data folder; null if the platform doesn't report it.
	Disk *disk `json:"disk"`
	// Models are the read models in SQL.
	Models []modelset.Status `json:"models,omitempty"`
	// Webhooks are those that the node may deliver.
	Webhooks []webhooks.Status `json:"webhooks,omitempty"`
	// Rebuild is the current rebuild, or the last one since the process started; null if
	// there was none.
	Rebuild *projections.RebuildStatus `json:"rebuild"`
	// Journal is the journal of events; null if the node keeps none.
	Journal *journal.Status `json:"journal"`
	Version string          `json:"version"`
}

// disk has the free and the total size of a file system, in bytes.
type disk struct {
	Free uint64 `json:"free_bytes"`
	Size uint64 `json:"size_bytes"`
}

func (n *Node) status(ctx context.Context) (any, error) {
	s, err := n.Model.Status(ctx)
	answer := status{Node: n.NodeID, Role: n.Role, Ready: true, Status: s, Version: process.Version()}
	if unready := n.ready(); unready != nil {
		answer.Ready, answer.Reason = false, unready.Error()
	}
	answer.Models = sqlmodels.Statuses(n.Models)
	answer.Webhooks = n.webhooks(ctx)
	answer.Degraded = n.Model.Degraded()
	if free, size, err := diskspace.Of(n.DataDir); err == nil {
		answer.Disk = &disk{free, size}
	}
	if r, any := n.Model.Rebuild(); any {
		answer.Rebuild = &r
	}
	answer.Journal = n.journal()
	return answer, err
}

// journal returns the status of the journal, or nil if the node keeps none.
func (n *Node) journal() *journal.Status {
	j, release, err := n.Model.Journal()
	if err != nil {
		return nil
	}
	defer release()
	status := j.Status()
	return &status
}
