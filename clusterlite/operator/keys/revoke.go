package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/httpapi/auth/apikeys"
	"github.com/clusterlite/clusterlite/service/node/keyring"
	"github.com/clusterlite/clusterlite/service/process"
)

// Revoke revokes keys.
type Revoke struct {
	subcommand.Output `embed:""`
	connection        `embed:""`

	ID []string `arg:"" help:"The ids of the keys, as clusterlite keys list shows them."`
}

// Help is shown by --help.
func (Revoke) Help() string {
	return `Returns once each node that runs has confirmed that it rejects the keys. If one does not, the command
names it and exits with status 1; the revocation is in the log, and the node obeys it once it has
read it. A revoked key can't be restored. It is safe to run the command again.

Examples:

    clusterlite keys revoke clk_069jr1s0kxxjq71z38nkrkaydw`
}

// CheckSettings is called by the parser.
func (c *Revoke) CheckSettings() error {
	for _, id := range c.ID {
		if _, ok := apikeys.ParseName(id); !ok {
			// The text may be a key, so it is not repeated.
			return errors.New("an argument is not the id of a key; allowed: ids such as clk_069jr1s0kxxjq71z38nkrkaydw, as clusterlite keys list shows them")
		}
	}
	return nil
}

// A revocation is the result of keys revoke.
type revocation struct {
	Revoked []string `json:"revoked"`
	// Position is the position at which all keys are revoked.
	Position events.Position `json:"position"`
	// Confirmed and Unconfirmed are the nodes that run, by whether they know of the revocation.
	Confirmed   []string `json:"confirmed"`
	Unconfirmed []string `json:"unconfirmed"`
}

// Text writes the result as text.
func (r revocation) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "revoked %s at position %d; %d of %d running nodes have confirmed it\n",
		strings.Join(r.Revoked, ", "), r.Position, len(r.Confirmed), len(r.Confirmed)+len(r.Unconfirmed))
	return err
}

// attempts is how often a revocation is tried that another change of the key prevented.
const attempts = 5

// Run revokes the keys and waits for the nodes.
func (c Revoke) Run(ctx context.Context, out subcommand.Streams) (err error) {
	ctx, log, err := open(ctx, c.connection, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	result := revocation{Revoked: c.ID, Confirmed: []string{}, Unconfirmed: []string{}}
	answers, err := ask(ctx, log, 0, out.Stderr)
	if err != nil {
		return err
	}
	for range attempts {
		all, err := known(answers)
		if err != nil {
			return err
		}
		pending, err := c.pending(all)
		if err != nil {
			return err
		}
		if len(pending) == 0 {
			return c.report(out, result, answers)
		}
		if result.Position, err = revokeAll(ctx, log, pending); err != nil {
			return err
		}
		if answers, err = ask(ctx, log, result.Position, out.Stderr); err != nil {
			return err
		}
	}
	return errors.New("another program keeps changing the keys: run this again")
}

// pending returns the keys that are not revoked yet. The error names a key that does not exist.
func (c Revoke) pending(all []keyring.Key) (pending []keyring.Key, err error) {
	for _, id := range c.ID {
		i := slices.IndexFunc(all, func(k keyring.Key) bool { return k.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("no key has the id %s: see clusterlite keys list", id)
		}
		if all[i].RevokedAt == nil {
			pending = append(pending, all[i])
		}
	}
	return pending, nil
}

func revokeAll(ctx context.Context, log *eventlog.Log, keys []keyring.Key) (position events.Position, err error) {
	for _, k := range keys {
		r := apikeys.Record{Name: k.Name, Roles: k.Roles, ExpiresAt: k.ExpiresAt}.Revoked(time.Now())
		if position, err = put(ctx, log, k.Entity, k.Version+1, r); err != nil {
			return 0, fmt.Errorf("revoke %s: %w", k.ID, err)
		}
	}
	return position, nil
}

func (c Revoke) report(out subcommand.Streams, r revocation, answers []answer) error {
	for i, a := range answers {
		if a.err != nil {
			continue
		}
		if pending, err := c.pending(a.Keys.Keys); err != nil || len(pending) > 0 {
			answers[i].err = fmt.Errorf("node %s is at position %d", a.node.Node, a.Position)
			continue
		}
		r.Confirmed = append(r.Confirmed, a.node.Node)
		r.Position = max(r.Position, a.Position)
	}
	r.Unconfirmed = append(r.Unconfirmed, warnSilent(out.Stderr, answers, "it may accept the keys until it has read the log up to the revocation")...)
	if err := c.Print(out, r); err != nil {
		return err
	}
	if len(r.Unconfirmed) > 0 {
		return process.ErrReported
	}
	return nil
}
