package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/auth/apikeys"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// connection is how a subcommand reaches the log and the nodes.
type connection struct {
	settings.Kafka `embed:""`
	Access         subcommand.Access `embed:""`
}

// Create creates a key.
type Create struct {
	subcommand.Output `embed:""`
	connection        `embed:""`

	Name      string   `arg:"" help:"What the key is for, up to 100 characters. Several keys may have the same name."`
	Role      []string `name:"role" placeholder:"ROLE" help:"Roles of whoever sends the key, separated by commas. Default: none."`
	ExpiresIn lifetime `name:"expires-in" placeholder:"DURATION" help:"How long the key is valid, such as 12h or 90d. Default: until it is revoked."`
}

// Help is shown by --help.
func (Create) Help() string {
	return `Prints the new key on the standard output, and nothing else. It can't be shown again: the log has
only a hash of it. Clients send it as Authorization: Bearer KEY. To replace a key, create another
one with the same name, give it to the client, and revoke the old one.

Examples:

    clusterlite keys create "nightly export" --role reader --expires-in 90d > key
    clusterlite keys create ci --role editor,importer --output json`
}

// A lifetime is a duration of at least a minute. Zero means for ever.
type lifetime time.Duration

// maxLifetime keeps the year of an expiry within four digits.
const maxLifetime = 100 * 365 * 24 * time.Hour

// UnmarshalText parses a duration in Go's form, or a number of days such as 90d.
func (l *lifetime) UnmarshalText(text []byte) error {
	s := string(text)
	d, err := time.ParseDuration(s)
	if days, isDays := strings.CutSuffix(s, "d"); isDays {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Minute || d > maxLifetime {
		return fmt.Errorf("%q is not a lifetime; allowed: %s", s, l.Allowed())
	}
	*l = lifetime(d)
	return nil
}

// Allowed describes the values of the flag.
func (*lifetime) Allowed() string { return "a duration from 1m to 36500d, such as 12h or 90d" }

func (c *Create) record() apikeys.Record {
	r := apikeys.Record{Name: c.Name, Roles: c.Role}
	if c.ExpiresIn > 0 {
		at := time.Now().Add(time.Duration(c.ExpiresIn)).UTC().Truncate(time.Second)
		r.ExpiresAt = &at
	}
	return r
}

// CheckSettings is called by the parser.
func (c *Create) CheckSettings() error { return c.record().Check() }

// A created is the result of keys create.
type created struct {
	ID        string          `json:"id"`
	Key       string          `json:"key"`
	Name      string          `json:"name"`
	Roles     []string        `json:"roles"`
	ExpiresAt *time.Time      `json:"expires_at"`
	Position  events.Position `json:"position"`
}

// Text writes the key.
func (c created) Text(w io.Writer) error {
	_, err := fmt.Fprintln(w, c.Key)
	return err
}

// Run creates the key. It prints the key once the log has its hash.
func (c Create) Run(ctx context.Context, out subcommand.Streams) (err error) {
	ctx, log, err := open(ctx, c.connection, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	key, err := apikeys.New()
	if err != nil {
		return fmt.Errorf("generate a key: %w", err)
	}
	r := c.record()
	r.Hash = apikeys.Hash(key.Text)
	position, err := put(ctx, log, key.ID, 1, r)
	if err != nil {
		return fmt.Errorf("store the key: %w", err)
	}
	roles := append([]string{}, c.Role...)
	result := created{apikeys.Name(key.ID), key.Text, c.Name, roles, r.ExpiresAt, position}
	if err := c.Print(out, result); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out.Stderr, "created %s (%s): this is the only time that the key is shown\n", result.ID, c.Name)
	answers, err := ask(ctx, log, position, out.Stderr)
	if err != nil {
		return err
	}
	warnSilent(out.Stderr, answers, "it accepts the key once it has read the log up to it")
	for _, a := range answers {
		if a.err == nil && !a.Accepted {
			_, _ = fmt.Fprintf(out.Stderr, "warning: node %s accepts no API keys: set CLUSTERLITE_AUTH_KEYS=true there\n", a.node.Node)
		}
	}
	return nil
}
