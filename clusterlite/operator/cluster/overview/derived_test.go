package overview

import (
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
)

// The report shows each webhook as the node that delivers it knows it, and names what has stopped.
func TestWebhooksAndReadModels(t *testing.T) {
	failed := &webhooks.Failure{Problem: "status 503"}
	r := Report{Nodes: []Node{
		{
			Node: "query-1", State: Ready,
			Models: []modelset.Status{
				{Model: "stats", Serving: &modelset.BuildStatus{Stopped: &modelset.Stop{Position: 7, Error: "NOT NULL constraint failed"}}},
				{Model: "search", Mistake: "search.sql:3: near \"TABEL\"", Serving: &modelset.BuildStatus{}},
			},
			Webhooks: []webhooks.Status{
				{Name: "mail", State: webhooks.Active, Node: "query-2"},
				{Name: "audit", State: webhooks.Disabled, Reason: "the endpoint responded 410"},
			},
		},
		{
			Node: "query-2", State: Ready,
			Webhooks: []webhooks.Status{
				{Name: "audit", State: webhooks.Disabled, Reason: "the endpoint responded 410"},
				{Name: "mail", State: webhooks.Active, Node: "query-2", Parked: 3, Delivery: &webhooks.Delivery{LagEvents: 12, LagSeconds: 61, Down: true, LastFailure: failed}},
				{Name: "search", State: webhooks.Paused, Reason: "maintenance"},
			},
		},
	}}
	r.Problems = problemsOfNodes(r.Nodes, r.Topic)
	for _, want := range []string{
		"read model stats of node query-1 has stopped at position 7: NOT NULL constraint failed",
		"node query-1 can't use the file of read model search: search.sql:3",
		"webhook audit is disabled: the endpoint responded 410",
		"the endpoint of webhook mail accepts nothing: status 503",
	} {
		if got := strings.Join(r.Problems, "\n"); strings.Count(got, want) != 1 {
			t.Errorf("got the problems\n%s\nwant once: %s", got, want)
		}
	}
	if len(r.Problems) != 4 {
		t.Errorf("got %d problems, want 4: %q", len(r.Problems), r.Problems)
	}
	var text strings.Builder
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"audit    disabled", "mail     failing   query-2  12, 1m1s  0         3", "search   paused"} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("got\n%s\nwant a line %q", text.String(), want)
		}
	}
}
