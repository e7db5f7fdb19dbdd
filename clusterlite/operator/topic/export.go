package topic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/archive"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Export writes the events of a log to a file.
type Export struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`

	Out   string            `name:"out" required:"" placeholder:"FILE" help:"The file to write; it must not exist. Compressed if its name ends in .zst or .gz; - is the standard output."`
	Until subcommand.Moment `name:"until" placeholder:"POSITION|TIME|AGO" help:"Where to stop: a position, a time, or how long ago. Default: the end of the log when the command starts."`
}

// Help gives examples.
func (Export) Help() string {
	return `Writes a file with one line for each admitted event, a CloudEvent in JSON, between a header and a
trailer that holds digests and a checksum (docs/reference/events.md). Void records, barriers and idempotency
keys older than 24 hours are left out. Writes may continue during the export, but events appended
after its start are not in the file. The export builds a temporary read model in $TMPDIR.

Examples:

    clusterlite events export --out store.jsonl.zst
    clusterlite events export --until 2026-11-24T14:00:00Z --out - | jq -c .data`
}

// Run exports.
func (c Export) Run(ctx context.Context, out subcommand.Streams) (err error) {
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	info, err := subcommand.DescribeLog(ctx, log)
	if err != nil {
		return err
	}
	if err := c.Until.Check(ctx, log, info, out.Stderr); err != nil {
		return fmt.Errorf("%w. No file was written", err)
	}
	p := &phases{w: out.Stderr}
	defer p.done()
	options := archive.ExportOptions{Log: log, Until: c.Until.Until(), Progress: p.report}
	if c.Out == "-" {
		done, err := archive.Export(ctx, options, out.Stdout)
		if err != nil {
			return err
		}
		p.done()
		return c.result(done).Text(out.Stderr) // the file is the result
	}
	file, err := archive.Create(c.Out)
	if err != nil {
		return err
	}
	done, err := archive.Export(ctx, options, file)
	if err != nil {
		return errors.Join(err, file.Discard())
	}
	if err := file.Commit(); err != nil {
		return err
	}
	p.done()
	return c.Print(out, c.result(done))
}

func (c Export) result(done archive.Exported) exportResult {
	return exportResult{
		File: c.Out, Topic: c.Topic.Topic, TopicID: done.TopicID, Position: int64(done.Position), Events: done.Events,
		LeftOut: done.Left, KeysLeftOut: done.KeysLeft, Digests: done.Digests, SHA256: done.SHA256,
	}
}

// exportResult is the result of an export.
type exportResult struct {
	File     string `json:"file"`
	Topic    string `json:"topic"`
	TopicID  string `json:"topic_id"`
	Position int64  `json:"position"`
	Events   int64  `json:"events"`
	// LeftOut is the number of records before the position that are not in the file: void
	// records and barriers. KeysLeftOut is the number of expired idempotency keys that were
	// removed from events in the file.
	LeftOut     int64             `json:"left_out"`
	KeysLeftOut int64             `json:"keys_left_out"`
	Digests     map[string]string `json:"digests"`
	SHA256      string            `json:"sha256"`
}

// Text writes the result as text.
func (r exportResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "Exported %d events of %s up to position %d to %s; left out: %d void records and barriers, %d expired idempotency keys.\n",
		r.Events, r.Topic, r.Position, r.File, r.LeftOut, r.KeysLeftOut)
	for _, name := range slices.Sorted(maps.Keys(r.Digests)) {
		if err == nil {
			_, err = fmt.Fprintf(w, "  digest of %s: %s\n", name, r.Digests[name])
		}
	}
	return err
}
