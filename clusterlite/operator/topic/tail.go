package topic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/wire"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Tail prints the records of the log without their verdicts. A verdict depends on all
// records before it, so a reader that starts in the middle can't know it.
type Tail struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`

	From       subcommand.Moment `name:"from" placeholder:"POSITION|TIME|AGO" help:"Where to start: a position, a time such as 2026-11-24T14:05:00Z, or how long ago, such as 15m. Default: the end."`
	Until      subcommand.Moment `name:"until" placeholder:"POSITION|TIME|AGO" help:"Where to stop. Default: never."`
	Follow     bool              `name:"follow" default:"true" negatable:"" help:"Wait for new events; --no-follow stops at the current end of the log."`
	Collection []string          `name:"collection" placeholder:"NAME" help:"Only events of these collections."`
	ID         []string          `name:"id" placeholder:"ID" help:"Only events of these entities."`
	Type       []string          `name:"type" placeholder:"TYPE" help:"Only events of these types: created, updated, deleted, restored, or in full such as clusterlite.users.created."`
	Actor      []string          `name:"actor" placeholder:"NAME" help:"Only events of these clients, by the subject of their token or the name of their API key."`
	All        bool              `name:"all" help:"Also show what is not an event: barriers, malformed records, and offsets without a record."`
}

// Help gives examples.
func (Tail) Help() string {
	return `Prints one line for each event: the position after it, the broker's time, type, entity, version,
the client that made the change if it was authenticated, and the beginning of the document. With --output json each line is a CloudEvent with the attributes
"position" and "appendedat". Events that admission finds void are shown too, because verdicts are
not in the log. Press Ctrl-C to stop.

Examples:

    clusterlite events tail
    clusterlite events tail --from 15m --no-follow --collection users --type deleted
    clusterlite events tail --from 2026-11-24T14:00:00Z --until 2026-11-24T14:10:00Z --all
    clusterlite events tail --from 0 --output json | jq .subject`
}

// CheckSettings is called by the parser.
func (c *Tail) CheckSettings() error {
	if !c.Follow && !c.From.Given() {
		return errors.New("--no-follow without --from starts at the end of the log and shows nothing: add --from")
	}
	for _, t := range c.Type {
		if !slices.Contains([]string{string(events.Created), string(events.Updated), string(events.Deleted), string(events.Restored)}, t) && !strings.Contains(t, ".") {
			return fmt.Errorf("--type is %q; allowed: created, updated, deleted, restored, or a type in full such as clusterlite.users.created", t)
		}
	}
	return nil
}

// Run prints records until it is stopped or, with an end, until it reaches the end.
func (c Tail) Run(ctx context.Context, out subcommand.Streams) (err error) {
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	from, stop, err := c.bounds(ctx, log)
	switch {
	case err != nil:
	case stop < 0 || from < stop:
		err = c.stream(ctx, log, from, stop, out.Stdout)
	default:
		err = c.explain(ctx, log, from, stop, out.Stderr)
	}
	if ctx.Err() != nil { // the user stopped it, which is its normal end
		return nil
	}
	return err
}

// explain writes why there is nothing to print.
func (c Tail) explain(ctx context.Context, log *eventlog.Log, from, stop events.Position, w io.Writer) error {
	info, err := subcommand.DescribeLog(ctx, log)
	if err != nil {
		return err
	}
	if early := c.Until.Check(ctx, log, info, io.Discard); early != nil {
		_, _ = fmt.Fprintf(w, "note: %v\n", early)
		return ctx.Err()
	}
	_, _ = fmt.Fprintf(w, "note: the log has no event from position %d to position %d\n", from, stop)
	return nil
}

// bounds returns the positions at which printing starts and stops. The latter is negative if
// there is no end.
func (c Tail) bounds(ctx context.Context, log *eventlog.Log) (from, stop events.Position, err error) {
	info, err := subcommand.DescribeLog(ctx, log)
	if err != nil {
		return 0, 0, err
	}
	from, stop = info.End, -1
	if c.From.Given() {
		if from, err = c.From.From(ctx, log); err != nil {
			return 0, 0, err
		}
	}
	if c.Until.Given() {
		if stop, err = c.Until.To(ctx, log); err != nil {
			return 0, 0, err
		}
	}
	if !c.Follow && (stop < 0 || stop > info.End) {
		stop = info.End
	}
	if from > info.End {
		return 0, 0, fmt.Errorf("the log ends at position %d, before position %d", info.End, from)
	}
	return max(from, info.Start), stop, nil
}

func (c Tail) stream(ctx context.Context, log *eventlog.Log, from, stop events.Position, w io.Writer) (err error) {
	subscription, err := log.Subscribe(from, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subscription.Close()) }()
	write := writeText
	if c.Output.Output == "json" {
		write = writeJSON
	}
	lines := bufio.NewWriter(w)
	for at := from; stop < 0 || at < stop; {
		records, err := subscription.Take(ctx, 1000)
		if err != nil {
			return err
		}
		for _, r := range records {
			if at = r.Position(); stop >= 0 && at > stop {
				break
			}
			if c.wants(r) {
				write(lines, r)
			}
		}
		if err := lines.Flush(); err != nil {
			return fmt.Errorf("write the events: %w", err)
		}
	}
	return nil
}

func (c Tail) wants(r events.Record) bool {
	if r.Content != events.HasEvent {
		return c.All
	}
	among := func(wanted []string, values ...string) bool {
		return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(values, w) })
	}
	e := r.Event
	return among(c.Collection, e.Collection) && among(c.ID, e.EntityID) && among(c.Type, string(e.Kind), e.Type()) && among(c.Actor, e.Actor)
}

// shownDocument is the maximum length of a document in a line, in characters.
const shownDocument = 100

func writeText(w *bufio.Writer, r events.Record) {
	_, _ = fmt.Fprintf(w, "%d  %s  ", r.Position(), appendedAt(r)) // Flush returns the error
	if r.Content != events.HasEvent {
		_, _ = fmt.Fprintf(w, "(%s)  %s\n", content(r), printable(detail(r)))
		return
	}
	e := r.Event
	_, _ = fmt.Fprintf(w, "%s  %s  v%d", e.Type(), e.EntityID, e.Version)
	if e.Actor != "" {
		_, _ = fmt.Fprintf(w, "  by %s", printable(e.Actor))
	}
	if e.Document != nil {
		_, _ = fmt.Fprintf(w, "  %s", short(printable(string(e.Document))))
	}
	_, _ = fmt.Fprintln(w)
}

func short(s string) string {
	if runes := []rune(s); len(runes) > shownDocument {
		return string(runes[:shownDocument]) + "…"
	}
	return s
}

// detail describes a record that is not an event.
func detail(r events.Record) string {
	switch r.Content {
	case events.Malformed:
		return r.Malformed
	case events.NewerFormat:
		return fmt.Sprintf("needs log format %d", r.Format)
	case events.NoRecord:
		return "a transaction marker, or an offset whose record was deleted"
	}
	return ""
}

// writeJSON writes a CloudEvent, or a description of a record that is not an event.
func writeJSON(w *bufio.Writer, r events.Record) {
	var b []byte
	if r.Content == events.HasEvent {
		b = wire.AppendLine(nil, r.Event)
		b[len(b)-1] = ','
	} else {
		b = fmt.Appendf(nil, `{"content":%q,`, content(r))
		if d := detail(r); d != "" {
			b = fmt.Appendf(b, `"detail":%s,`, quoteJSON(d))
		}
	}
	b = fmt.Appendf(b, `"position":%q`, strconv.FormatInt(int64(r.Position()), 10))
	if r.Content != events.NoRecord {
		b = fmt.Appendf(b, `,"appendedat":%q`, events.FormatTime(r.Timestamp))
	}
	b = append(b, "}\n"...)
	_, _ = w.Write(b) // Flush returns the error
}
