// Package webhooks implements the subcommands for webhooks: list, pause, resume and replay. They ask the
// nodes, which have the declarations and write to the log. Only package cli imports it.
package webhooks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Webhooks are the subcommands for webhooks.
type Webhooks struct {
	List   List   `cmd:"" default:"withargs" help:"List the webhooks, with state, lag and parked events (default)."`
	Pause  Pause  `cmd:"" help:"Stop the deliveries of a webhook until it is resumed."`
	Resume Resume `cmd:"" help:"Continue the deliveries of a paused or disabled webhook."`
	Replay Replay `cmd:"" help:"Deliver parked events again, or all events after a position."`
}

// Help is shown by --help.
func (Webhooks) Help() string {
	return `Webhooks are declared in the file of CLUSTERLITE_WEBHOOKS. For each one, one node at a time sends the
events to its URL. What the subcommands change is in the log, so it holds on all nodes and outlives
them.

Examples:

    clusterlite webhooks list
    clusterlite webhooks pause billing --reason "maintenance until noon"
    clusterlite webhooks replay billing`
}

// connection is how a subcommand reaches the log and the nodes.
type connection struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
}

// running returns the nodes that may have webhooks.
func (c connection) running(ctx context.Context, out subcommand.Streams) (context.Context, []nodes.Node, error) {
	return nodes.ForReads(ctx, c.Access, c.Kafka, out, "that could have webhooks")
}

// List lists the webhooks.
type List struct {
	connection `embed:""`
}

// Help is shown by --help.
func (List) Help() string {
	return `STATE is active, paused or disabled; an active webhook that no node delivers is idle. CURSOR is the
position up to which all events were delivered, or are retried or parked. LAG is the number of
records after it, and the age of the oldest event that is neither delivered nor parked.

Examples:

    clusterlite webhooks list
    clusterlite webhooks list --output json`
}

// listing is the result of webhooks list.
type listing struct {
	Webhooks []webhook `json:"webhooks"`
	// Mistakes are those in the files of nodes, which use an earlier content.
	Mistakes []string `json:"mistakes"`
}

// A webhook is a webhook as the nodes together know it.
type webhook struct {
	webhooks.Status
	// Problems say why nodes that have the webhook don't deliver it although they may have to.
	Problems []string `json:"problems,omitempty"`
}

// Text writes the webhooks as text.
func (l listing) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WEBHOOK\tSTATE\tNODE\tCURSOR\tLAG\tRETRYING\tPARKED\tENDPOINT")
	for _, h := range l.Webhooks {
		node, cursor := "-", h.Cursor
		if h.Node != "" {
			node = h.Node
		}
		if d := h.Delivery; d != nil {
			cursor = d.Position
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%s\n", h.Name, h.Summary(), node, cursor, h.Lag(), h.Retrying, h.Parked, h.Endpoint)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return l.details(w)
}

// details writes what went wrong.
func (l listing) details(w io.Writer) (err error) {
	write := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	for _, h := range l.Webhooks {
		if h.State != webhooks.Active && h.Reason != "" {
			write("\n%s is %s: %s\n", h.Name, h.State, h.Reason)
		}
		if d := h.Delivery; d != nil && d.LastFailure != nil && (d.LastSuccess == nil || d.LastFailure.At.After(*d.LastSuccess)) {
			write("\n%s failed last on %s: %s\n", h.Name, d.LastFailure.At.Format(time.RFC3339), d.LastFailure.Problem)
		}
		for _, p := range h.Problems {
			write("\n%s: %s\n", h.Name, p)
		}
	}
	for _, m := range l.Mistakes {
		write("\n%s\n", m)
	}
	return err
}

// merge adds what one node knows. The node that delivers knows most, then the one that has read most
// of the log.
func merge(lists []webhooks.List) (l listing) {
	l = listing{Webhooks: []webhook{}, Mistakes: []string{}}
	slices.SortStableFunc(lists, func(a, b webhooks.List) int { return int(b.Position - a.Position) })
	for _, list := range lists {
		if list.Mistake != "" {
			l.Mistakes = append(l.Mistakes, fmt.Sprintf("node %s can't use the changed file: %s", list.Node, list.Mistake))
		}
		for _, s := range list.Webhooks {
			at := slices.IndexFunc(l.Webhooks, func(w webhook) bool { return w.Name == s.Name })
			if at < 0 {
				at = len(l.Webhooks)
				l.Webhooks = append(l.Webhooks, webhook{Status: s})
			} else if s.Delivery != nil {
				l.Webhooks[at].Status = s
			}
			if s.Problem != "" {
				l.Webhooks[at].Problems = append(l.Webhooks[at].Problems, fmt.Sprintf("node %s: %s", list.Node, s.Problem))
			}
		}
	}
	for i := range l.Webhooks {
		l.Webhooks[i].Problem = "" // it is in Problems
	}
	slices.SortFunc(l.Webhooks, func(a, b webhook) int { return strings.Compare(a.Name, b.Name) })
	return l
}

// Run asks the nodes and lists the webhooks.
func (c List) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, running, err := c.running(ctx, out)
	if err != nil {
		return err
	}
	answers := make([]webhooks.List, len(running))
	errs := nodes.Each(ctx, out.Stderr, running, func(ctx context.Context, i int, n nodes.Node) error {
		return n.Get(ctx, "/webhooks", &answers[i])
	})
	var known []webhooks.List
	var failed []error
	for i, err := range errs {
		switch {
		case err == nil:
			known = append(known, answers[i])
		case !without(err):
			failed = append(failed, err)
			_, _ = fmt.Fprintf(out.Stderr, "warning: %v; the webhooks that it delivers are shown without their lag\n", err)
		}
	}
	if len(known) == 0 {
		return errors.Join(append([]error{errNone}, failed...)...)
	}
	return c.Print(out, merge(known))
}

var errNone = errors.New("no running node has webhooks: set CLUSTERLITE_WEBHOOKS")

// without reports whether a node has no webhooks, or not the one that it was asked for.
func without(err error) bool {
	var p *problem.Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

// ask has one node do something: the first that has the webhook and answers.
func ask[T any](ctx context.Context, out subcommand.Streams, c connection, path string) (answer T, err error) {
	ctx, running, err := c.running(ctx, out)
	if err != nil {
		return answer, err
	}
	var errs []error
	for _, n := range running {
		err := n.AskPatiently(ctx, http.MethodPost, path, &answer)
		if err == nil {
			return answer, nil
		}
		var unreachable *nodes.UnreachableError
		if !without(err) && !errors.As(err, &unreachable) {
			return answer, err
		}
		errs = append(errs, err)
	}
	return answer, errors.Join(errs...)
}
