package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/node/keyring"
)

// List lists the keys.
type List struct {
	subcommand.Output `embed:""`
	connection        `embed:""`

	All bool `name:"all" help:"Also list revoked and expired keys. With --output json they are always listed."`
}

// Help is shown by --help.
func (List) Help() string {
	return `Lists the keys by the time of their creation. The last use is the latest on any node that runs, and
exact to a minute. ID is also the actor in the events of the key.

Examples:

    clusterlite keys list
    clusterlite keys list --all --output json`
}

// A listing is the result of keys list.
type listing struct {
	Keys []keyring.Key `json:"keys"`

	all bool
	now time.Time
}

// state describes a key in one word.
func (l listing) state(k keyring.Key) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case k.ExpiresAt != nil && !l.now.Before(*k.ExpiresAt):
		return "expired"
	}
	return "valid"
}

// Text writes the keys as text.
func (l listing) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tNAME\tROLES\tSTATE\tCREATED\tEXPIRES\tLAST USED")
	hidden := 0
	for _, k := range l.Keys {
		if l.state(k) != "valid" && !l.all {
			hidden++
			continue
		}
		roles := "-"
		if len(k.Roles) > 0 {
			roles = strings.Join(k.Roles, ",")
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, roles, l.state(k), k.CreatedAt, when(k.ExpiresAt, "never"), when(k.LastUsedAt, "-"))
	}
	err := table.Flush()
	if hidden > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%d revoked or expired keys are not shown: use --all\n", hidden)
	}
	return err
}

func when(t *time.Time, otherwise string) string {
	if t == nil {
		return otherwise
	}
	return t.Format(time.RFC3339)
}

// Run asks the nodes and lists the keys.
func (c List) Run(ctx context.Context, out subcommand.Streams) (err error) {
	ctx, log, err := open(ctx, c.connection, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	answers, err := ask(ctx, log, 0, out.Stderr)
	if err != nil {
		return err
	}
	all, err := known(answers)
	if err != nil {
		return err
	}
	warnSilent(out.Stderr, answers, "the times of the last use may be older than they should")
	return c.Print(out, listing{Keys: all, all: c.All, now: time.Now()})
}
