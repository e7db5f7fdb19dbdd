package overview

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
)

// patience is how long a node may take to report its status.
const patience = 3 * time.Second

// Options define where to look for nodes.
type Options struct {
	// Log is the log of the cluster.
	Log *eventlog.Log
	// Admin are admin addresses, host:port, of nodes to show even if the broker does not
	// know them.
	Admin []string
	// Fallback replaces an empty Admin while the broker is unreachable.
	Fallback []string
}

// Gather asks the broker, and then all nodes at once: those that have announced themselves to
// the broker, and those at the admin addresses. The report includes nodes that don't answer. It
// also includes a broker that doesn't answer or lacks the topic. In that case only the nodes at
// the admin addresses can be found. If none of them answers, Gather returns the broker's error.
func Gather(ctx context.Context, o Options) (Report, error) {
	r := Report{Topic: Topic{Name: o.Log.Topic(), Leader: -1, Replicas: []int32{}, InSync: []int32{}}, Brokers: []Broker{}, Nodes: []Node{}}
	health, failed := o.Log.Health(ctx)
	if errors.Is(failed, eventlog.ErrNoTopic) {
		failed = fmt.Errorf("topic %s does not exist: set --kafka-topic or --kafka-brokers", o.Log.Topic())
	} else if failed == nil {
		r.Topic, r.Brokers = TopicOf(o.Log.Topic(), health), BrokersOf(health)
	}
	all, err := nodes.All(ctx, o.Log)
	if failed == nil {
		failed = err
	}
	admin := o.Admin
	if failed != nil && len(admin) == 0 {
		admin = o.Fallback
	}
	r.Nodes = append(gatherAll(ctx, all, health.End), gatherAt(ctx, all, admin)...)
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	where := strings.Join(admin, ", ")
	switch {
	case failed == nil:
		r.Problems = append(problemsOfTopic(r.Topic, health.Unfit), problemsOfNodes(r.Nodes, r.Topic)...)
	case len(r.Nodes) == 0:
		return Report{}, fmt.Errorf("%w. No node answered at %s; set --admin to the admin addresses of nodes", failed, where)
	default:
		r.BrokerError = failed.Error()
		r.Problems = append([]string{fmt.Sprintf("%v. More nodes than those shown may be running; asked only %s", failed, where)}, problemsOfNodes(r.Nodes, r.Topic)...)
	}
	r.Healthy = len(r.Problems) == 0
	return r, nil
}

func gatherAll(ctx context.Context, all []nodes.Node, end events.Position) []Node {
	shown := make([]Node, len(all))
	var asked sync.WaitGroup
	for i, n := range all {
		asked.Go(func() { shown[i] = gatherOne(ctx, n, end) })
	}
	asked.Wait()
	return shown
}

// gatherAt asks the nodes at admin addresses, and returns those that answer and are not
// already known.
func gatherAt(ctx context.Context, known []nodes.Node, admin []string) (shown []Node) {
	var at []nodes.Node
	for _, address := range admin {
		soon, cancel := context.WithTimeout(ctx, patience)
		found, err := nodes.At(soon, address)
		cancel()
		if err == nil { // a name that does not resolve has no node that answers
			at = append(at, found...)
		}
	}
	seen := map[string]bool{}
	for _, n := range known {
		seen[n.Node] = true
	}
	for _, n := range gatherAll(ctx, at, 0) {
		if answered := n.Node != ""; answered && !seen[n.Node] {
			seen[n.Node] = true
			shown = append(shown, n)
		}
	}
	slices.SortFunc(shown, func(a, b Node) int { return strings.Compare(a.Node, b.Node) })
	return shown
}

// TopicOf describes the topic with a name.
func TopicOf(name string, h eventlog.Health) Topic {
	return Topic{
		Name: name, ID: h.ID, Start: h.Start, End: h.End,
		Leader: h.Leader, Replicas: h.Replicas, InSync: h.InSync, MinInSync: h.MinInSync,
	}
}

// BrokersOf describes the running brokers.
func BrokersOf(h eventlog.Health) []Broker {
	all := []Broker{}
	for _, b := range h.Brokers {
		all = append(all, Broker{b.ID, b.Addr, b.ID == h.Controller})
	}
	return all
}

// statusPart is the part of a node's /status that the report shows.
type statusPart struct {
	Node     string            `json:"node"`
	Role     string            `json:"role"`
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
	Disk     *Disk             `json:"disk"`
	Models   []modelset.Status `json:"models"`
	Webhooks []webhooks.Status `json:"webhooks"`
}

// look asks a node for its status, unless it has announced that it stopped.
func gatherOne(ctx context.Context, n nodes.Node, end events.Position) Node {
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
	var t statusPart
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
	shown.Node, shown.Role = t.Node, t.Role
	shown.Version, shown.TopicID, shown.Position, shown.Lag, shown.Rate, shown.Voids = t.Version, t.TopicID, t.Position, &t.Lag, t.Rate, t.Voids
	shown.Entities, shown.Digests, shown.Rebuild = t.Entities, t.Digests, t.Rebuild
	shown.Disk, shown.Models, shown.Webhooks = t.Disk, t.Models, t.Webhooks
	return shown
}
