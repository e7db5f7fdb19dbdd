package models

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/models/digests"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
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

// CheckSettings is called by the parser.
func (c *Verify) CheckSettings() error {
	if c.Wait <= 0 || c.Wait > time.Hour {
		return fmt.Errorf("--wait is %s; allowed: above zero, up to 1h", c.Wait)
	}
	return nil
}

// comparison is the result of model verify.
type comparison struct {
	Equal  bool               `json:"equal"`
	Models []digests.Compared `json:"models"`
}

// Text writes the comparison as text.
func (r comparison) Text(w io.Writer) error {
	for _, m := range r.Models {
		if err := m.Write(w); err != nil {
			return err
		}
	}
	return nil
}

// Run compares the models.
func (c Verify) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, asked, err := c.asked(ctx, out)
	if err != nil {
		return err
	}
	result := comparison{Equal: true}
	if result.Models, err = digests.Compare(ctx, out.Stderr, asked, c.Wait); err != nil {
		return err
	}
	for _, m := range result.Models {
		result.Equal = result.Equal && m.Result == digests.Equal
	}
	if err := c.Print(out, result); err != nil {
		return err
	}
	if !result.Equal {
		return process.ErrReported
	}
	return nil
}
