// Package models implements the subcommands for read models in SQL: model list, rebuild, retry,
// skip and verify. Only package cli imports it.
package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/clusterlite/clusterlite/clusterlite/operator/models/digests"
	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Model are the subcommands for read models in SQL.
type Model struct {
	List    List    `cmd:"" default:"withargs" help:"List the read models of all nodes, with state, position and skipped events (default)."`
	Rebuild Rebuild `cmd:"" help:"Build a read model again beside the one that serves, or cancel that."`
	Retry   Retry   `cmd:"" help:"Apply the failed event of a stopped read model again."`
	Skip    Skip    `cmd:"" help:"Leave the failed event of a stopped read model out; recorded for ever."`
	Verify  Verify  `cmd:"" help:"Compare the read models of all nodes; exit with status 1 if they differ."`
}

// Help is shown by --help.
func (Model) Help() string {
	return `Read models in SQL are files in the folder of CLUSTERLITE_MODELS_DIR. Each node builds them from its
journal of events. A statement that fails stops its model on that node; the model then serves its
last good state.

Examples:

    clusterlite model list
    clusterlite model skip stats --position 1234`
}

// target are the flags that all subcommands have.
type target struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	Node              []string          `name:"node" placeholder:"NAME" help:"The nodes to ask, repeated or separated by commas. Default: all running nodes with read models."`
}

// asked returns the nodes to ask.
func (c target) asked(ctx context.Context, out subcommand.Streams) (context.Context, []nodes.Node, error) {
	return nodes.ForReads(ctx, c.Access, c.Kafka, out, "with read models", c.Node...)
}

// List lists the models.
type List struct {
	target `embed:""`
}

// Help is shown by --help.
func (List) Help() string {
	return `Lists the read models of each node: the state (building, following, failing, stopped), the position,
what is being built to replace it, and every event that was ever skipped.

Examples:

    clusterlite model list
    clusterlite model list --node query-1 --output json`
}

// models is the result of model list.
type models struct {
	Nodes []sqlmodels.List `json:"nodes"`
}

// Text writes the models as text.
func (r models) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NODE\tMODEL\tSTATE\tPOSITION\tEND\tBUILDING\tSKIPPED")
	for _, n := range r.Nodes {
		for _, m := range n.Models {
			state, position, end, building := modelset.Building, events.Position(0), events.Position(0), "-"
			if s := m.Serving; s != nil {
				state, position, end = s.State, s.Position, s.End
			}
			if b := m.Building; b != nil {
				building = fmt.Sprintf("%s at %d of %d", b.State, b.Position, b.End)
				end = max(end, b.End)
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%d\n", n.Node, m.Model, state, position, end, building, len(m.Skips))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return r.details(w)
}

// details writes what went wrong, and the skipped events.
func (r models) details(w io.Writer) (err error) {
	write := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	for _, n := range r.Nodes {
		for _, m := range n.Models {
			if m.Mistake != "" {
				write("\n%s on %s: the changed file can't be used: %s\n", m.Model, n.Node, m.Mistake)
			}
			for _, b := range []*modelset.BuildStatus{m.Serving, m.Building} {
				switch {
				case b == nil:
				case b.Stopped != nil:
					s := b.Stopped
					write("\n%s on %s has stopped at the event at position %d: %s.%s of %s version %d\n  %s:%d: %s\n  %s\n", m.Model, n.Node, s.Position, s.Collection, s.Type, s.ID, s.Version, s.File, s.Line, s.Error, s.Statement)
				case b.Failure != "":
					write("\n%s on %s is failing and retries: %s\n", m.Model, n.Node, b.Failure)
				}
			}
			for _, s := range m.Skips {
				write("\n%s on %s skipped the event at position %d on %s: %s\n", m.Model, n.Node, s.Position, s.At.Format("2006-01-02 15:04"), s.Error)
			}
		}
	}
	return err
}

// Run lists the models.
func (c List) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, asked, err := c.asked(ctx, out)
	if err != nil {
		return err
	}
	lists, errs := digests.Ask[sqlmodels.List](ctx, out.Stderr, asked, http.MethodGet, "/models")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.Print(out, models{lists})
}

// changed is the result of what was done on each node.
type changed struct {
	Nodes []nodeChanged `json:"nodes"`
}

type nodeChanged struct {
	Node  string `json:"node"`
	Error string `json:"error,omitempty"`
}

// Text writes what was done as text.
func (r changed) Text(w io.Writer) error {
	for _, n := range r.Nodes {
		said := "done"
		if n.Error != "" {
			said = n.Error
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", n.Node, said); err != nil {
			return err
		}
	}
	return nil
}

// change sends a request to all nodes and prints what came of it. Nodes for which it does not apply,
// because their model has not stopped, make the exit status 1 only if it applied to none.
func (c target) change(ctx context.Context, out subcommand.Streams, method, path string) error {
	ctx, asked, err := c.asked(ctx, out)
	if err != nil {
		return err
	}
	_, errs := digests.Ask[json.RawMessage](ctx, out.Stderr, asked, method, path)
	var all changed
	failed := 0
	for i, n := range asked {
		one := nodeChanged{Node: n.Node}
		if errs[i] != nil {
			one.Error = errs[i].Error()
			failed++
		}
		all.Nodes = append(all.Nodes, one)
	}
	if err := c.Print(out, all); err != nil {
		return err
	}
	if failed == len(asked) {
		return process.ErrReported
	}
	return nil
}

// Rebuild builds a model again.
type Rebuild struct {
	target `embed:""`
	Name   string `arg:"" name:"model" help:"The model."`
	Cancel bool   `name:"cancel" help:"Cancel the build that runs beside the one that serves."`
}

// Help is shown by --help.
func (Rebuild) Help() string {
	return `Each node builds the model from its journal, beside the one that serves, and replaces that once the
new one has caught up. A changed file is built in the same way, without this command.

Examples:

    clusterlite model rebuild stats
    clusterlite model rebuild stats --cancel --node query-1`
}

// Run rebuilds the model.
func (c Rebuild) Run(ctx context.Context, out subcommand.Streams) error {
	method := http.MethodPost
	if c.Cancel {
		method = http.MethodDelete
	}
	return c.change(ctx, out, method, "/models/rebuild?name="+url.QueryEscape(c.Name))
}

// Retry applies a failed event again.
type Retry struct {
	target `embed:""`
	Name   string `arg:"" name:"model" help:"The model."`
}

// Help is shown by --help.
func (Retry) Help() string {
	return `Has a stopped model apply the event that failed again, for example after the disk was full or the event
took too long.

Examples:

    clusterlite model retry stats`
}

// Run retries the event.
func (c Retry) Run(ctx context.Context, out subcommand.Streams) error {
	return c.change(ctx, out, http.MethodPost, "/models/retry?name="+url.QueryEscape(c.Name))
}

// Skip leaves a failed event out.
type Skip struct {
	target   `embed:""`
	Name     string `arg:"" name:"model" help:"The model."`
	Position int64  `name:"position" required:"" placeholder:"N" help:"The position of the event that failed, as model list shows it."`
}

// Help is shown by --help.
func (Skip) Help() string {
	return `Has a stopped model leave out the event that failed, on all nodes where it has stopped there. Each node
records the skip for ever and repeats it when it builds the same file again. A changed file gets the
event again. A node that is still before the event stops at it later; repeat the command then.

Examples:

    clusterlite model skip stats --position 1234`
}

// Run skips the event.
func (c Skip) Run(ctx context.Context, out subcommand.Streams) error {
	return c.change(ctx, out, http.MethodPost, "/models/skip?name="+url.QueryEscape(c.Name)+"&position="+strconv.FormatInt(c.Position, 10))
}
