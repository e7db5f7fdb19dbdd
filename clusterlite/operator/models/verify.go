package models

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
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
	"github.com/clusterlite/clusterlite/service/process"
)

// Verify compares the models of all nodes.
type Verify struct {
	target `embed:""`
	Wait   time.Duration `name:"wait" default:"1m" placeholder:"DURATION" help:"Maximum time to find the nodes at the same position (default ${default})."`
}

// Help is shown by --help.
func (Verify) Help() string {
	return `Compares digests of all rows of each read model on all nodes. Nodes can be compared if the last event
that changed the model is the same on all of them, so the command asks again while writes change it.
The exit status is 1 if a model differs, or could not be compared in time.

Examples:

    clusterlite model verify
    clusterlite model verify --wait 5m --output json`
}

// Validate is called by the parser.
func (c *Verify) Validate() error {
	if c.Wait <= 0 || c.Wait > time.Hour {
		return fmt.Errorf("--wait is %s; allowed: above zero, up to 1h", c.Wait)
	}
	return nil
}

// comparison is the result of model verify.
type comparison struct {
	Equal  bool       `json:"equal"`
	Models []compared `json:"models"`
}

// compared is one model. Result is equal, different or unknown.
type compared struct {
	Model   string             `json:"model"`
	Result  string             `json:"result"`
	Detail  string             `json:"detail,omitempty"`
	Digests []sqlmodels.Digest `json:"digests"`
}

// Text writes the comparison as text.
func (r comparison) Text(w io.Writer) error {
	for _, m := range r.Models {
		text := fmt.Sprintf("%s: %s on %d nodes", m.Model, m.Result, len(m.Digests))
		if m.Detail != "" {
			text += ": " + m.Detail
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
		if m.Result == equal {
			continue
		}
		for _, d := range m.Digests {
			if _, err := fmt.Fprintf(w, "  %s: file %s, changed at %d, digest %s, skipped %v\n", d.Node, d.Hash[:12], d.Changed, d.Digest[:16], d.Skipped); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	equal     = "equal"
	different = "different"
	unknown   = "unknown"

	// between two attempts to find the nodes at the same position.
	pause = 500 * time.Millisecond
)

// Run compares the models.
func (c Verify) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, asked, err := c.asked(ctx, out)
	if err != nil {
		return err
	}
	lists, errs := each[sqlmodels.List](ctx, out, asked, http.MethodGet, "/models")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var names []string
	for _, list := range lists {
		for _, m := range list.Models {
			names = append(names, m.Model)
		}
	}
	slices.Sort(names)
	result := comparison{Equal: true, Models: []compared{}}
	for _, name := range slices.Compact(names) {
		one, err := c.compare(ctx, out, asked, name)
		if err != nil {
			return err
		}
		result.Equal = result.Equal && one.Result == equal
		result.Models = append(result.Models, one)
	}
	if err := c.Print(out, result); err != nil {
		return err
	}
	if !result.Equal {
		return process.ErrReported
	}
	return nil
}

// compare asks until all nodes have the model as of the same event.
func (c Verify) compare(ctx context.Context, out subcommand.Streams, asked []nodes.Node, name string) (one compared, err error) {
	for end := time.Now().Add(c.Wait); ; {
		digests, errs := each[sqlmodels.Digest](ctx, out, asked, http.MethodGet, "/models/digest?name="+url.QueryEscape(name))
		if ctx.Err() != nil {
			return one, ctx.Err()
		}
		one = judge(name, digests, errors.Join(errs...))
		if one.Result != unknown || time.Now().After(end) {
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
func judge(name string, digests []sqlmodels.Digest, err error) compared {
	one := compared{Model: name, Result: equal, Digests: digests}
	if err != nil {
		one.Result, one.Detail, one.Digests = unknown, err.Error(), []sqlmodels.Digest{}
		return one
	}
	first := digests[0]
	for _, d := range digests[1:] {
		switch {
		case d.Hash != first.Hash:
			return with(one, unknown, "the nodes serve different files")
		case d.Changed != first.Changed:
			return with(one, unknown, "the nodes are at different events")
		case !slices.Equal(d.Skipped, first.Skipped):
			return with(one, different, "the nodes skipped different events")
		case d.Digest != first.Digest:
			return with(one, different, "the rows differ at the same event")
		}
	}
	return one
}

func with(one compared, result, detail string) compared {
	one.Result, one.Detail = result, detail
	return one
}
