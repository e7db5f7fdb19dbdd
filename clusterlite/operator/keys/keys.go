// Package keys implements the subcommands that create, list and revoke API keys. A key is an
// entity of a collection that no API serves: the subcommands append its events to the log, and
// ask the nodes what they know of it. Only package cli imports it.
package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/httpapi/auth/apikeys"
	"github.com/clusterlite/clusterlite/service/node/keyring"
)

// Keys are the subcommands for API keys.
type Keys struct {
	Create Create `cmd:"" help:"Create an API key and print it."`
	List   List   `cmd:"" help:"List the API keys, with the time of their last use."`
	Revoke Revoke `cmd:"" help:"Revoke API keys on all nodes."`
}

// Help is shown by --help.
func (Keys) Help() string {
	return `Machines authenticate to the API with keys. The nodes accept keys if CLUSTERLITE_AUTH_KEYS is true.
The log stores a hash of each key, so all nodes know a new key, or a revocation, within
milliseconds.

Examples:

    clusterlite keys create "nightly export" --role reader --expires-in 90d
    clusterlite keys list
    clusterlite keys revoke clk_069jr1s0kxxjq71z38nkrkaydw`
}

// source names the tool in the events of keys.
const source = "/clusterlite/tool/keys"

// appendTimeout bounds the time for an append, and nodeTimeout the time that a node may take to
// read the log up to it.
const (
	appendTimeout = 10 * time.Second
	nodeTimeout   = 4 * time.Second
)

// put appends an event that gives the entity of a key a version and a record.
func put(ctx context.Context, log *eventlog.Log, id string, version int64, r apikeys.Record) (events.Position, error) {
	eventID, err := uuid.NewV7()
	if err != nil {
		return 0, err
	}
	kind := events.Created
	if version > 1 {
		kind = events.Updated
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	return log.Append(ctx, events.Event{
		ID: eventID.String(), Source: source, Collection: apikeys.Collection, EntityID: id, Kind: kind, Version: version,
		Time: time.Now().UTC().Truncate(time.Millisecond), Document: r.Document(),
	})
}

// An answer is what one node knows of the keys, or the error that prevented an answer.
type answer struct {
	node nodes.Node
	keyring.Keys
	err error
}

// ask asks all nodes that run for the keys at a position or later. Zero means any position.
func ask(ctx context.Context, log *eventlog.Log, position events.Position, w io.Writer) ([]answer, error) {
	all, err := nodes.All(ctx, log)
	if err != nil {
		return nil, err
	}
	running := nodes.Living(all)
	answers := make([]answer, len(running))
	path := "/keys"
	if position > 0 {
		path += fmt.Sprintf("?position=%d&wait=%s", position, nodeTimeout)
	}
	errs := nodes.Each(ctx, w, running, func(ctx context.Context, i int, n nodes.Node) error {
		return n.Get(ctx, path, &answers[i].Keys)
	})
	for i, n := range running {
		answers[i].node, answers[i].err = n, errs[i]
	}
	return answers, ctx.Err()
}

// known returns the keys of the answer with the highest position, and with the latest use on any
// node. The error says why no node answered.
func known(answers []answer) ([]keyring.Key, error) {
	var newest *answer
	errs := []error{errors.New("no running node has answered, and the nodes know the keys")}
	for i, a := range answers {
		if a.err != nil {
			errs = append(errs, a.err)
		} else if newest == nil || a.Position > newest.Position {
			newest = &answers[i]
		}
	}
	if newest == nil {
		return nil, errors.Join(errs...)
	}
	uses := map[string]*time.Time{}
	for _, a := range answers {
		for _, k := range a.Keys.Keys {
			if last := uses[k.ID]; k.LastUsedAt != nil && (last == nil || k.LastUsedAt.After(*last)) {
				uses[k.ID] = k.LastUsedAt
			}
		}
	}
	for i, k := range newest.Keys.Keys {
		newest.Keys.Keys[i].LastUsedAt = uses[k.ID]
	}
	return newest.Keys.Keys, nil
}

// warnSilent reports the nodes that did not answer.
func warnSilent(w io.Writer, answers []answer, consequence string) (silent []string) {
	for _, a := range answers {
		if a.err != nil {
			_, _ = fmt.Fprintf(w, "warning: %v; %s\n", a.err, consequence)
			silent = append(silent, a.node.Node)
		}
	}
	return silent
}

// open opens the log, which must exist, for a subcommand.
func open(ctx context.Context, c connection, out subcommand.Streams) (context.Context, *eventlog.Log, error) {
	ctx, log, err := c.Access.OpenLog(ctx, c.Kafka, out)
	if err != nil {
		return nil, nil, err
	}
	if _, err := subcommand.DescribeLog(ctx, log); err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	return ctx, log, nil
}
