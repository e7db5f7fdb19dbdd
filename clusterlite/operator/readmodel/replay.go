package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Replay builds the state at a position or time.
type Replay struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`

	Collections string            `name:"collections" env:"CLUSTERLITE_COLLECTIONS" placeholder:"DIR" help:"Folder with additional collections, whose members become columns. Default: none."`
	Until       subcommand.Moment `name:"until" placeholder:"POSITION|TIME|AGO" help:"Where to stop: a position, a time, or how long ago. Default: the end of the log when the command starts."`
	Out         string            `name:"out" required:"" placeholder:"FILE" help:"The file to write."`
	Force       bool              `name:"force" help:"Replace the file if it exists."`
}

// Help gives examples.
func (Replay) Help() string {
	return `Writes an ordinary SQLite file with the state at a position or a time, built from the log alone; no
node takes part. Times are the broker's: the file contains everything that the broker had appended
by then. A time before the first record or a position after the last one is an error.

Examples:

    clusterlite replay --until 1000 --out f.db
    clusterlite replay --until 2026-11-24T14:05:00Z --out f.db
    sqlite3 f.db 'SELECT name, email FROM users'`
}

// Run writes the file.
func (c Replay) Run(ctx context.Context, out subcommand.Streams) (err error) {
	set, err := collections.Load(c.Collections)
	if err != nil {
		return err
	}
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
	task := progress.Start(out.Stderr, "replay", 0, "events")
	defer task.Done()
	built, err := offline.Build(ctx, offline.BuildOptions{
		Path: c.Out, Replace: c.Force, Log: log, Collections: set, Until: c.Until.Until(),
		Progress: reportTo(task),
	})
	task.Done()
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists; use --force to replace it", c.Out)
	}
	if err != nil {
		return err
	}
	return c.Print(out, replayed{File: c.Out, state: stateOf(built)})
}

// reportTo passes progress on to a task.
func reportTo(task *progress.Task) func(at, end events.Position) {
	return func(at, end events.Position) {
		task.Total(int64(end))
		task.Set(int64(at))
	}
}

// state describes the content of a read model.
type state struct {
	Position events.Position `json:"position"`
	// LogTime is the broker's time at the position.
	LogTime time.Time `json:"log_time"`
	Topic   string    `json:"topic"`
	TopicID string    `json:"topic_id"`
	// Entities and Digests have the collections as keys.
	Entities map[string]int64  `json:"entities"`
	Digests  map[string]string `json:"digests"`
}

func stateOf(b offline.Built) state {
	s := state{
		Position: b.Position, LogTime: b.LogTime.UTC(), Topic: b.Topic, TopicID: b.TopicID,
		Entities: map[string]int64{}, Digests: map[string]string{},
	}
	for name, summary := range b.Collections {
		s.Entities[name], s.Digests[name] = summary.Living, summary.Digest.String()
	}
	return s
}

// Text writes a line for each collection.
func (s state) Text(w io.Writer) error {
	for _, name := range slices.Sorted(maps.Keys(s.Digests)) {
		if _, err := fmt.Fprintf(w, "  %s: %d entities, digest %s\n", name, s.Entities[name], s.Digests[name]); err != nil {
			return err
		}
	}
	return nil
}

// replayed is the result of replay.
type replayed struct {
	File string `json:"file"`
	state
}

// Text writes the result as text.
func (r replayed) Text(w io.Writer) error {
	at := ""
	if r.Position > 0 {
		at = ", log time " + events.FormatTime(r.LogTime)
	}
	if _, err := fmt.Fprintf(w, "Replayed %s up to position %d%s, to %s.\n", r.Topic, r.Position, at, r.File); err != nil {
		return err
	}
	return r.state.Text(w)
}
