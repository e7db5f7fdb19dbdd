// Package digests compares the rows of the read models in SQL of several nodes by their digests.
package digests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
)

// Compared is the result for one model. Its JSON is for programs, so its names must not change.
type Compared struct {
	Model string `json:"model"`
	// Result is Equal, Different or Unknown.
	Result string `json:"result"`
	// Detail says why the result is not Equal.
	Detail string `json:"detail,omitempty"`
	// Digests are those of the nodes; empty if a node did not give one.
	Digests []sqlmodels.Digest `json:"digests"`
}

// The results.
const (
	Equal     = "equal"
	Different = "different"
	// Unknown means that the nodes could not be found at the same event of the same file in time.
	Unknown = "unknown"
)

// pause is the time between two attempts to find the nodes at the same event.
const pause = 500 * time.Millisecond

// Compare compares all models that any of the nodes has, sorted by name. Nodes can be compared if the
// last event that changed the model is the same on all of them, so it asks again for at most wait, for
// each model. progress receives the names of silent nodes. The error means that a node did not list
// its models. A node of a version without models has none.
func Compare(ctx context.Context, progress io.Writer, asked []nodes.Node, wait time.Duration) ([]Compared, error) {
	lists, errs := Ask[sqlmodels.List](ctx, progress, asked, http.MethodGet, "/models")
	var with []nodes.Node
	for i, n := range asked {
		if refused := (*problem.Problem)(nil); errors.As(errs[i], &refused) && refused.Status == http.StatusNotFound {
			errs[i] = nil
			continue
		}
		with = append(with, n)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var names []string
	for _, list := range lists {
		for _, m := range list.Models {
			names = append(names, m.Model)
		}
	}
	slices.Sort(names)
	all := []Compared{}
	for _, name := range slices.Compact(names) {
		one, err := compare(ctx, progress, with, name, wait)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// compare asks until all nodes have the model as of the same event.
func compare(ctx context.Context, progress io.Writer, asked []nodes.Node, name string, wait time.Duration) (one Compared, err error) {
	for end := time.Now().Add(wait); ; {
		digests, errs := Ask[sqlmodels.Digest](ctx, progress, asked, http.MethodGet, "/models/digest?name="+url.QueryEscape(name))
		if ctx.Err() != nil {
			return one, ctx.Err()
		}
		one = judge(name, digests, errors.Join(errs...))
		if one.Result != Unknown || time.Now().After(end) {
			return one, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return one, ctx.Err()
		}
	}
}

// judge compares the digests of one model.
func judge(name string, digests []sqlmodels.Digest, err error) Compared {
	one := Compared{Model: name, Result: Equal, Digests: digests}
	if err != nil {
		one.Result, one.Detail, one.Digests = Unknown, err.Error(), []sqlmodels.Digest{}
		return one
	}
	first := digests[0]
	for _, d := range digests[1:] {
		switch {
		case d.Hash != first.Hash:
			return concluded(one, Unknown, "the nodes serve different files, or have different collections")
		case d.Changed != first.Changed:
			return concluded(one, Unknown, "the nodes are at different events")
		case !slices.Equal(d.Skipped, first.Skipped):
			return concluded(one, Different, "the nodes skipped different events")
		case d.Digest != first.Digest:
			return concluded(one, Different, "the rows differ at the same event")
		}
	}
	return one
}

func concluded(one Compared, result, detail string) Compared {
	one.Result, one.Detail = result, detail
	return one
}

// Write writes the result as text.
func (m Compared) Write(w io.Writer) error {
	text := fmt.Sprintf("%s: %s on %d nodes", m.Model, m.Result, len(m.Digests))
	if m.Detail != "" {
		text += ": " + m.Detail
	}
	if _, err := fmt.Fprintln(w, text); err != nil {
		return err
	}
	if m.Result == Equal {
		return nil
	}
	for _, d := range m.Digests {
		if _, err := fmt.Fprintf(w, "  %s: file %s, changed at %d, digest %s, skipped %v\n", d.Node, d.Hash[:12], d.Changed, d.Digest[:16], d.Skipped); err != nil {
			return err
		}
	}
	return nil
}

// Ask sends a request to all nodes, and returns an error for each that rejected it.
func Ask[T any](ctx context.Context, progress io.Writer, asked []nodes.Node, method, path string) ([]T, []error) {
	answers := make([]T, len(asked))
	errs := nodes.Each(ctx, progress, asked, func(ctx context.Context, i int, n nodes.Node) error {
		return n.AskPatiently(ctx, method, path, &answers[i])
	})
	return answers, errs
}
