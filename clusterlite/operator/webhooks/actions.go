package webhooks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
)

// Pause pauses a webhook.
type Pause struct {
	connection `embed:""`
	Name       string `arg:"" name:"webhook" help:"The webhook."`
	Reason     string `name:"reason" placeholder:"TEXT" help:"Why, for those who list the webhooks. Default: none."`
}

// Help is shown by --help.
func (Pause) Help() string {
	return `The node that delivers ends the requests under way and starts no others. The events wait in the log.

Examples:

    clusterlite webhooks pause billing --reason "maintenance until noon"`
}

// changed is the result of pause and resume.
type changed struct {
	webhooks.Status
}

// Text writes the result as text.
func (c changed) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s is %s\n", c.Name, c.State)
	return err
}

// Run pauses the webhook.
func (c Pause) Run(ctx context.Context, out subcommand.Streams) error {
	is, err := ask[webhooks.Status](ctx, out, c.connection, "/webhooks/pause?"+url.Values{"name": {c.Name}, "reason": {c.Reason}}.Encode())
	if err != nil {
		return err
	}
	return c.Print(out, changed{is})
}

// Resume resumes a webhook.
type Resume struct {
	connection `embed:""`
	Name       string `arg:"" name:"webhook" help:"The webhook."`
}

// Help is shown by --help.
func (Resume) Help() string {
	return `Deliveries continue where they stopped, also those of a webhook that was disabled because its endpoint
answered 410.

Examples:

    clusterlite webhooks resume billing`
}

// Run resumes the webhook.
func (c Resume) Run(ctx context.Context, out subcommand.Streams) error {
	is, err := ask[webhooks.Status](ctx, out, c.connection, "/webhooks/resume?"+url.Values{"name": {c.Name}}.Encode())
	if err != nil {
		return err
	}
	return c.Print(out, changed{is})
}

// Replay delivers events again.
type Replay struct {
	connection `embed:""`
	Name       string   `arg:"" name:"webhook" help:"The webhook."`
	Event      []string `name:"event" placeholder:"ID" help:"Only these parked events, repeated or separated by commas. Default: all parked events."`
	From       int64    `name:"from" default:"-1" placeholder:"POSITION" help:"Instead, deliver all events after this position of the log again. Default: only parked events."`
}

// Help is shown by --help.
func (Replay) Help() string {
	return `Parked events are tried again for as long as new ones. They keep their id, so an endpoint that has
processed one can recognize it. Later events of the same entity may have been delivered before.

With --from, the webhook continues after a position, whether it has delivered the events or not. Use
the end of the log to leave events out.

Examples:

    clusterlite webhooks replay billing
    clusterlite webhooks replay billing --event 0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d
    clusterlite webhooks replay billing --from 120000`
}

// CheckSettings is called by the parser.
func (c *Replay) CheckSettings() error {
	if c.From < -1 {
		return fmt.Errorf("--from is %d; allowed: a position of the log, 0 or more", c.From)
	}
	if c.From >= 0 && len(c.Event) > 0 {
		return errors.New("--from and --event can't be used together")
	}
	return nil
}

// replayed is the result of replay.
type replayed struct {
	webhooks.Replayed
}

// Text writes the result as text.
func (r replayed) Text(w io.Writer) (err error) {
	if r.From != nil {
		_, err = fmt.Fprintf(w, "%s continues after position %d\n", r.Webhook, *r.From)
		return err
	}
	_, err = fmt.Fprintf(w, "%s delivers %d parked events again\n", r.Webhook, r.Events)
	return err
}

// Run replays the events.
func (c Replay) Run(ctx context.Context, out subcommand.Streams) error {
	q := url.Values{"name": {c.Name}}
	if c.From >= 0 {
		q.Set("from", strconv.FormatInt(c.From, 10))
	}
	if len(c.Event) > 0 {
		q.Set("event", strings.Join(c.Event, ","))
	}
	done, err := ask[webhooks.Replayed](ctx, out, c.connection, "/webhooks/replay?"+q.Encode())
	if err != nil {
		return err
	}
	return c.Print(out, replayed{done})
}
