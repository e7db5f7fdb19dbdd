package overview

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
)

// webhooksOf returns each webhook once, sorted by name, as the node that delivers it describes it.
func webhooksOf(all []Node) (found []webhooks.Status) {
	for _, n := range all {
		for _, s := range n.Webhooks {
			at := slices.IndexFunc(found, func(other webhooks.Status) bool { return other.Name == s.Name })
			if at < 0 {
				found = append(found, s)
			} else if s.Delivery != nil {
				found[at] = s
			}
		}
	}
	slices.SortFunc(found, func(a, b webhooks.Status) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// webhooksText shows the webhooks, if there are any.
func webhooksText(w io.Writer, all []Node) {
	found := webhooksOf(all)
	if len(found) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\nWEBHOOK\tSTATE\tNODE\tLAG\tRETRYING\tPARKED")
	for _, s := range found {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\n", s.Name, s.Summary(), or(s.Node, "-"), s.Lag(), s.Retrying, s.Parked)
	}
	_ = table.Flush() // writes to memory never fail
}

// problemsOfWebhooks returns the webhooks that do not deliver although no operator paused them.
func problemsOfWebhooks(all []Node) (problems []string) {
	for _, s := range webhooksOf(all) {
		switch {
		case s.State == webhooks.Disabled:
			problems = append(problems, fmt.Sprintf("webhook %s is disabled: %s", s.Name, s.Reason))
		case s.Delivery != nil && s.Delivery.Down && s.Delivery.LastFailure != nil:
			problems = append(problems, fmt.Sprintf("the endpoint of webhook %s accepts nothing: %s", s.Name, s.Delivery.LastFailure.Problem))
		}
	}
	return problems
}

// problemsOfModels returns the read models in SQL of a node that have stopped, or whose changed file the
// node can't use.
func problemsOfModels(n Node) (problems []string) {
	for _, m := range n.Models {
		if m.Mistake != "" {
			problems = append(problems, fmt.Sprintf("node %s can't use the file of read model %s: %s", n.Node, m.Model, m.Mistake))
		}
		for _, build := range []*modelset.BuildStatus{m.Serving, m.Building} {
			if build != nil && build.Stopped != nil {
				problems = append(problems, fmt.Sprintf("read model %s of node %s has stopped at position %d: %s", m.Model, n.Node, build.Stopped.Position, build.Stopped.Error))
			}
		}
	}
	return problems
}
