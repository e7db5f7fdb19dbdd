package readmodel

import (
	"fmt"
	"io"
	"strings"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/process"
)

// nodeRebuild is the result for one node.
type nodeRebuild struct {
	Node string `json:"node"`
	// Rebuild is null if the rebuild was not started.
	Rebuild *projections.RebuildStatus `json:"rebuild"`
	// Error is the reason why there is no rebuild to report, or why the node can't continue
	// after it.
	Error string `json:"error,omitempty"`
}

// rebuilds are the results for all nodes.
type rebuilds struct {
	Nodes []nodeRebuild `json:"nodes"`
}

// verdict returns [process.ErrReported] if any rebuild failed.
func (r rebuilds) verdict(cancelled bool) error {
	want := projections.RebuildDone
	if cancelled {
		want = projections.RebuildCancelled
	}
	for _, n := range r.Nodes {
		if n.Error != "" || n.Rebuild == nil || n.Rebuild.State != want {
			return process.ErrReported
		}
	}
	return nil
}

// Text writes the results as text.
func (r rebuilds) Text(w io.Writer) error {
	for _, n := range r.Nodes {
		if _, err := fmt.Fprintf(w, "%s: %s\n", n.Node, n.text()); err != nil {
			return err
		}
	}
	return nil
}

func (n nodeRebuild) text() string {
	if n.Rebuild == nil {
		return n.Error
	}
	r := *n.Rebuild
	text := string(r.State)
	switch r.State {
	case projections.RebuildDone:
		text = fmt.Sprintf("rebuilt, swapped at position %d in %.1f ms", r.Position, r.SwapSeconds*1000)
	case projections.RebuildCancelled:
		text += fmt.Sprintf(" at position %d of %d", r.Position, r.End)
	}
	if r.Error != "" {
		return text + ": " + r.Error
	}
	if n.Error != "" {
		text = "FAILED: " + n.Error
	}
	return text + differed(r.Differs) + kept(r.Kept)
}

func differed(collections []string) string {
	if len(collections) == 0 {
		return ""
	}
	return "; the digests differed for " + strings.Join(collections, ", ")
}

func kept(file string) string {
	if file == "" {
		return ""
	}
	return "; the old file was kept as " + file
}
