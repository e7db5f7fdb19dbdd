package comparison

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/service/node"
)

// audits asks all responding nodes to recompute their digests from their rows.
func (r *Report) audits(ctx context.Context, o Options, all []nodes.Node) {
	task := progress.Start(o.Progress, "recomputing digests", 0, "rows")
	defer task.Done()
	done, of := make([]atomic.Int64, len(all)), make([]atomic.Int64, len(all))
	report := func() {
		task.Total(sum(of))
		task.Set(sum(done))
	}
	var asked sync.WaitGroup
	for i, n := range all {
		if r.Nodes[i].Error != "" {
			continue
		}
		asked.Go(func() {
			audit, err := auditOf(ctx, n, func(l node.VerifyLine) {
				done[i].Store(l.Rows)
				of[i].Store(l.Of)
				report()
			})
			r.Nodes[i].Audit = audit
			r.Nodes[i].fail(err)
		})
	}
	asked.Wait()
}

func sum(all []atomic.Int64) (n int64) {
	for i := range all {
		n += all[i].Load()
	}
	return n
}

func auditOf(ctx context.Context, n nodes.Node, report func(node.VerifyLine)) (*node.Audit, error) {
	response, err := n.Do(ctx, http.MethodGet, "/verify")
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	for lines := json.NewDecoder(response.Body); ; {
		var line node.VerifyLine
		if err := lines.Decode(&line); err != nil {
			return nil, fmt.Errorf("the answer of node %s was cut off: %w", n.Node, err)
		}
		switch {
		case line.Failed != nil:
			return nil, fmt.Errorf("node %s: %w", n.Node, errors.New(line.Failed.Detail))
		case line.Audit != nil:
			return line.Audit, nil
		default:
			report(line)
		}
	}
}
