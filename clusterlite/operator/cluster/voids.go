package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Voids lists the events that admission rejected.
type Voids struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	Limit             int               `name:"limit" default:"100" placeholder:"N" help:"Maximum number of records to list, newest first, 1 to 10000 (default ${default})."`
	Node              string            `name:"node" placeholder:"NAME" help:"The node to ask. Default: the first that answers; all nodes have the same list."`
}

// Help is shown by --help.
func (Voids) Help() string {
	return `Lists the newest void records of the log, with the reason: malformed (not a valid event), conflict
(another write came first), taken (a unique value was already held), duplicate (its idempotency key
was already used). Void records change nothing. Nodes keep the newest 10,000 and count all of them.

Examples:

    clusterlite voids --limit 20
    clusterlite voids --output json --node query-2`
}

// CheckSettings is called by the parser.
func (c *Voids) CheckSettings() error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return fmt.Errorf("--limit is %d; allowed: 1 to 10000", c.Limit)
	}
	return nil
}

// voidsReport is the result of voids.
type voidsReport node.Voids

// Text writes the voids as text.
func (r voidsReport) Text(w io.Writer) error {
	if len(r.Voids) > 0 {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "OFFSET\tTIME\tREASON\tTYPE\tENTITY\tSOURCE\tDETAIL")
		for _, v := range r.Voids {
			_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Offset, v.At, v.Reason, dash(v.Type), dash(v.EntityID), dash(v.Source), v.Detail)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	var sum int64
	text := ""
	for _, reason := range slices.Sorted(maps.Keys(r.Counts)) {
		sum += r.Counts[reason]
		text += fmt.Sprintf(", %s %d", reason, r.Counts[reason])
	}
	_, err := fmt.Fprintf(w, "%d void records up to position %d, according to %s%s\n", sum, r.Position, r.Node, text)
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Run asks one node for its voids.
func (c Voids) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, log, err := c.Access.OpenLog(ctx, c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was only read
	all, err := nodes.All(ctx, log)
	if err != nil {
		return err
	}
	asked := nodes.Living(all)
	if c.Node != "" {
		if asked, err = nodes.Select(all, c.Node); err != nil {
			return err
		}
	}
	if len(asked) == 0 {
		return nodes.ErrNone
	}
	v, err := c.first(ctx, out, asked)
	if err != nil {
		return err
	}
	return c.Print(out, v)
}

// first asks all nodes at once, and returns the first answer.
func (c Voids) first(ctx context.Context, out subcommand.Streams, asked []nodes.Node) (voidsReport, error) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	answers := make(chan voidsReport, len(asked))
	errs := nodes.Each(ctx, out.Stderr, asked, func(ctx context.Context, _ int, n nodes.Node) error {
		var v voidsReport
		if err := n.Get(ctx, fmt.Sprintf("/voids?limit=%d", c.Limit), &v); err != nil {
			return err
		}
		answers <- v
		enough()
		return nil
	})
	select {
	case v := <-answers:
		return v, nil
	default:
		return voidsReport{}, errors.Join(errs...)
	}
}
