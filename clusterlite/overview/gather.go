package overview

import (
	"context"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/nodes"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/roster"
)

// patience is how long a node may take to tell how it is.
const patience = 3 * time.Second

// Gather asks the broker, then all nodes at once. Nodes that don't answer are part of
// the report; an error means that the broker did not.
func Gather(ctx context.Context, log *eventlog.Log) (Report, error) {
	health, err := log.Health(ctx)
	if err != nil {
		return Report{}, err
	}
	all, err := nodes.All(ctx, log)
	if err != nil {
		return Report{}, err
	}
	r := Report{Topic: topic(log.Topic(), health), Brokers: brokers(health), Nodes: make([]Node, len(all))}
	var asked sync.WaitGroup
	for i, n := range all {
		asked.Go(func() { r.Nodes[i] = look(ctx, n, health.End) })
	}
	asked.Wait()
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	r.Problems = append(problemsOfTopic(r.Topic, health.Unfit), problemsOfNodes(r.Nodes, r.Topic)...)
	r.Healthy = len(r.Problems) == 0
	return r, nil
}

func topic(name string, h eventlog.Health) Topic {
	return Topic{
		Name: name, ID: h.ID, Start: h.Start, End: h.End,
		Leader: h.Leader, Replicas: h.Replicas, InSync: h.InSync, MinInSync: h.MinInSync,
	}
}

func brokers(h eventlog.Health) []Broker {
	all := []Broker{}
	for _, b := range h.Brokers {
		all = append(all, Broker{b.ID, b.Addr, b.ID == h.Controller})
	}
	return all
}

// told is what of a node's /status is shown.
type told struct {
	Ready    bool              `json:"ready"`
	Reason   string            `json:"reason"`
	Version  string            `json:"version"`
	TopicID  string            `json:"topic_id"`
	Position events.Position   `json:"position"`
	Lag      projections.Lag   `json:"lag"`
	Rate     float64           `json:"rate"`
	Voids    int64             `json:"voids"`
	Entities map[string]int64  `json:"entities"`
	Digests  map[string]string `json:"digests"`
	Rebuild  *Rebuild          `json:"rebuild"`
}

// look asks a node how it is, unless it has said that it stopped.
func look(ctx context.Context, n nodes.Node, end events.Position) Node {
	shown := Node{
		Node: n.Node, Role: n.Role, Reason: n.Reason, Version: n.Version, Admin: n.Admin, Heard: n.At, Position: n.Position,
		Lag: &projections.Lag{Events: max(0, int64(end-n.Position))},
	}
	switch n.State {
	case roster.Left:
		shown.State, shown.Lag = Left, nil
		return shown
	case roster.Failed:
		shown.State = Failed
		return shown
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var t told
	if err := n.Get(ctx, "/status", &t); err != nil {
		shown.State, shown.Reason = Unreachable, err.Error()
		if n.Silent(time.Now()) {
			shown.State = Gone
		}
		return shown
	}
	shown.State, shown.Reason = Ready, t.Reason
	if !t.Ready {
		shown.State = Unready
	}
	shown.Version, shown.TopicID, shown.Position, shown.Lag, shown.Rate, shown.Voids = t.Version, t.TopicID, t.Position, &t.Lag, t.Rate, t.Voids
	shown.Entities, shown.Digests, shown.Rebuild = t.Entities, t.Digests, t.Rebuild
	return shown
}
