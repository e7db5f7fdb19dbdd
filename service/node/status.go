package node

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/process"
)

// status is what /status shows. The names are part of the admin interface.
type status struct {
	Node string `json:"node"`
	Role string `json:"role"`
	projections.Status
	// Rebuild is null: no rebuild runs.
	Rebuild any    `json:"rebuild"`
	Version string `json:"version"`
}

func (n *Node) status(ctx context.Context) (any, error) {
	s, err := n.Model.Status(ctx)
	return status{Node: n.NodeID, Role: n.Role, Status: s, Version: process.Version()}, err
}

// registerMetrics tells Prometheus of the projection. The names are documented in
// docs/operating.md.
func registerMetrics(r *prometheus.Registry, model *projections.Projection, log *eventlog.Log) {
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	counter := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
	gauge("clusterlite_position", "Records of the log that the projection has applied.", func() float64 { return float64(model.Position()) })
	gauge("clusterlite_log_end", "Records in the log, as last heard.", func() float64 { end, _ := model.Lag(); return float64(end) })
	gauge("clusterlite_lag_events", "Records that are not applied yet.", func() float64 { _, lag := model.Lag(); return float64(lag.Events) })
	gauge("clusterlite_lag_seconds", "For how long the projection has been behind the log.", func() float64 { _, lag := model.Lag(); return lag.Seconds })
	counter("clusterlite_applied_records_total", "Records applied since start.", func() float64 { return float64(model.Speed().Records) })
	counter("clusterlite_applied_batches_total", "Transactions that applied them.", func() float64 { return float64(model.Speed().Batches) })
	gauge("clusterlite_broker_reachable", "1 while the broker answers.", func() float64 { return bit(log.Reachable()) })
	counter("clusterlite_barriers_total", "Barriers appended, each for all requests that waited for one.", func() float64 { appended, _ := log.Barriers(); return float64(appended) })
	counter("clusterlite_barriers_failed_total", "Barriers that were not confirmed in time.", func() float64 { _, failed := log.Barriers(); return float64(failed) })
	gauge("clusterlite_projection_stopped", "1 once the projection has stopped for good.", func() float64 { return bit(model.Err() != nil) })
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
