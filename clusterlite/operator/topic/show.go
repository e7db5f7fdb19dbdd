package topic

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Show prints one record, even if it is not a valid event.
type Show struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`

	Record string            `arg:"" name:"POSITION|EVENT-ID" help:"The position after the record, as in the Clusterlite-Position of a write, or the id of an event."`
	From   subcommand.Moment `name:"from" placeholder:"POSITION|TIME|AGO" help:"Where to start searching for an id. Default: the beginning of the log."`
}

// Help gives examples.
func (Show) Help() string {
	return `Shows the whole record as it is in the log, even if it is not a valid event. To find an event by
its id, the command reads the log from its beginning; --from shortens the search.

Examples:

    clusterlite events show 1000
    clusterlite events show 0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d --from 24h`
}

// CheckSettings is called by the parser.
func (c *Show) CheckSettings() error {
	if n, err := strconv.ParseUint(c.Record, 10, 63); (err != nil || n == 0) && !events.ValidID(c.Record) {
		return fmt.Errorf("%q does not name a record; allowed: a position of at least 1, or the id of an event, a UUID in lower case", c.Record)
	}
	return nil
}

// Run prints the record.
func (c Show) Run(ctx context.Context, out subcommand.Streams) (err error) {
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	info, err := subcommand.DescribeLog(ctx, log)
	if err != nil {
		return err
	}
	after, err := c.find(ctx, log, info, out)
	if err != nil {
		return err
	}
	record, err := log.Read(ctx, after)
	if gone := (*eventlog.OffsetGoneError)(nil); errors.As(err, &gone) {
		return fmt.Errorf("no record ends at position %d: the log goes from %d to %d", after+1, info.Start, info.End)
	}
	if err != nil {
		return err
	}
	return c.Print(out, newShownRecord(record))
}

// find returns the position before the record.
func (c Show) find(ctx context.Context, log *eventlog.Log, info eventlog.Info, out subcommand.Streams) (after events.Position, err error) {
	if n, err := strconv.ParseInt(c.Record, 10, 64); err == nil {
		return events.Position(n) - 1, nil
	}
	from, err := c.From.From(ctx, log)
	if err != nil {
		return 0, err
	}
	from = max(from, info.Start)
	task := progress.Start(out.Stderr, "looking for the event", int64(info.End-from), "records")
	defer task.Done()
	err = log.Scan(ctx, from, info.End, func(r events.Record) error {
		if r.Content == events.HasEvent && r.Event.ID == c.Record {
			after = r.Position() - 1
			return errFound
		}
		task.Set(int64(r.Position() - from))
		return nil
	})
	switch {
	case errors.Is(err, errFound):
		return after, nil
	case err != nil:
		return 0, err
	}
	return 0, fmt.Errorf("no event between positions %d and %d has the id %s", from, info.End, c.Record)
}

// errFound ends a scan.
var errFound = errors.New("found")

// shownRecord describes a record.
type shownRecord struct {
	Position   events.Position `json:"position"`
	Offset     int64           `json:"offset"`
	AppendedAt string          `json:"appended_at"`
	// Content is event, barrier, checkpoint, malformed, newer-format or no-record. Detail
	// describes what is malformed, or why there is no record.
	Content string `json:"content"`
	Detail  string `json:"detail,omitempty"`
	Key     string `json:"key"`
	// Headers are pairs of name and value, in order.
	Headers [][2]string `json:"headers"`
	// Value is the record's value, in base64 if it is not text. It is null if the record has no
	// value.
	Value       *string `json:"value"`
	ValueBase64 string  `json:"value_base64,omitempty"`
}

func newShownRecord(r eventlog.RawRecord) shownRecord {
	s := shownRecord{
		Position: r.Position(), Offset: r.Offset, AppendedAt: appendedAt(r.Record),
		Content: content(r.Record), Detail: detail(r.Record), Key: string(r.Key), Headers: [][2]string{},
	}
	for _, h := range r.Headers {
		s.Headers = append(s.Headers, [2]string{h.Name, h.Value})
	}
	switch {
	case utf8.Valid(r.Value) && r.Value != nil:
		text := string(r.Value)
		s.Value = &text
	case r.Value != nil:
		s.ValueBase64 = base64.StdEncoding.EncodeToString(r.Value)
	}
	return s
}

// Text writes the record. A value in JSON is indented.
func (s shownRecord) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "position     %d\noffset       %d\nappended at  %s\ncontent      %s\n", s.Position, s.Offset, s.AppendedAt, s.Content)
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	if s.Detail != "" {
		line("detail       %s\n", printable(s.Detail))
	}
	line("key          %s\nheaders\n", printable(s.Key))
	for _, h := range s.Headers {
		line("  %s: %s\n", printable(h[0]), printable(h[1]))
	}
	line("value\n")
	switch {
	case s.ValueBase64 != "":
		line("  (not text, shown in base64) %s\n", s.ValueBase64)
	case s.Value == nil:
		line("  (none)\n")
	default:
		line("%s", indented(*s.Value))
	}
	return err
}

func indented(value string) string {
	if pretty, err := prettyJSON(value); err == nil {
		return "  " + pretty + "\n"
	}
	return "  " + printable(value) + "\n"
}

func quoteJSON(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // a string can always be marshalled
		panic(err)
	}
	return b
}

// prettyJSON indents JSON and leaves its literals unchanged.
func prettyJSON(value string) (string, error) {
	var b bytes.Buffer
	err := json.Indent(&b, []byte(value), "  ", "  ")
	return b.String(), err
}
