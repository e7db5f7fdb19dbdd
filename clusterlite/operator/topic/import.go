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
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Import appends the events of a file to a log.
type Import struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`

	File string `arg:"" name:"FILE" help:"A file written by clusterlite events export."`
}

// Help gives examples.
func (Import) Help() string {
	return `Appends the events of an export with their original ids, versions and times; only their positions
and the broker's timestamps are new. The topic is created if it is missing. It must be empty or
hold the beginning of the same export: an interrupted import continues where it stopped. No other
process may write to the topic during the import. At the end the import builds a temporary read
model from the topic in $TMPDIR and compares its digests with those in the file. The exit status
is 1 if they differ.

Examples:

    clusterlite events import store.jsonl.zst
    clusterlite events import store.jsonl.zst --kafka-brokers kafka-1:9092,kafka-2:9092 --output json`
}

// Run imports.
func (c Import) Run(ctx context.Context, out subcommand.Streams) (err error) {
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	p := &phases{w: out.Stderr}
	defer p.done()
	done, err := archive.Import(ctx, archive.ImportOptions{Path: c.File, Log: log, Progress: p.report})
	if err != nil {
		return err
	}
	p.done()
	if err := c.Print(out, c.result(done)); err != nil {
		return err
	}
	if !done.Equal() {
		return process.ErrReported
	}
	return nil
}

func (c Import) result(done archive.Imported) importResult {
	r := importResult{
		File: c.File, Topic: done.Built.Topic, TopicID: done.Built.TopicID, Position: int64(done.Built.Position),
		Events: done.Trailer.Events, Found: done.Found, Appended: done.Appended, Equal: done.Equal(), Digests: map[string]digestPair{},
	}
	for name, d := range done.Trailer.Digests {
		r.Digests[name] = digestPair{File: d, Log: done.Digests[name]}
	}
	for name, d := range done.Digests {
		r.Digests[name] = digestPair{File: done.Trailer.Digests[name], Log: d}
	}
	return r
}

// importResult is the result of an import.
type importResult struct {
	File    string `json:"file"`
	Topic   string `json:"topic"`
	TopicID string `json:"topic_id"`
	// Position is the end of the log after the import.
	Position int64 `json:"position"`
	// Events is the number of events in the file. Found is the number of those that the log
	// already held, and Appended the number of those that were appended.
	Events   int64 `json:"events"`
	Found    int64 `json:"found"`
	Appended int64 `json:"appended"`
	// Equal reports whether all digests are equal.
	Equal   bool                  `json:"equal"`
	Digests map[string]digestPair `json:"digests"`
}

// digestPair holds the digests of a collection in the file and in the log.
type digestPair struct {
	File string `json:"file"`
	Log  string `json:"log"`
}

// Text writes the result as text.
func (r importResult) Text(w io.Writer) error {
	verdict := "The digests are equal."
	if !r.Equal {
		verdict = "THE DIGESTS DIFFER: the topic does not hold what was exported. Do not use it."
	}
	_, err := fmt.Fprintf(w, "Imported %s into %s: %d events, of which %d were already there and %d were appended; the log ends at position %d.\n%s\n",
		r.File, r.Topic, r.Events, r.Found, r.Appended, r.Position, verdict)
	for _, name := range slices.Sorted(maps.Keys(r.Digests)) {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %s: file %s, log %s\n", name, r.Digests[name].File, r.Digests[name].Log)
		}
	}
	return err
}
