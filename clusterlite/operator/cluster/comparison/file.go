package comparison

import (
	"context"
	"io"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/node"
)

// OfFile compares the digests and claims in a projection's file with its rows. It needs no
// running node.
func OfFile(ctx context.Context, path string, stderr io.Writer) (Report, error) {
	s, err := reads.OpenFile(ctx, path)
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = s.Close() }() // it was only read
	task := progress.Start(stderr, "recomputing digests", 0, "rows")
	found, err := s.Audit(ctx, func(done, all int64) error {
		task.Total(all)
		task.Set(done)
		return nil
	})
	task.Done()
	if err != nil {
		return Report{}, err
	}
	audit := node.NewAudit(path, found)
	n := Node{Node: path, Digests: map[string]node.Summary{}, Audit: &audit}
	for name, a := range audit.Collections {
		n.Digests[name] = a.Kept
	}
	r := Report{Differences: []string{}, Position: audit.Position, Nodes: []Node{n}}
	r.conclude()
	return r, nil
}
