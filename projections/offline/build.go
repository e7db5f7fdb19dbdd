// Package offline builds, inspects, copies and converts read-model files that no running node
// has open.
package offline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/atomicfile"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// Until says how far to apply the log. The zero Until means the end that the log has at the
// start.
type Until struct {
	bounded  bool
	position events.Position
	time     time.Time
}

// UntilPosition stops after position records.
func UntilPosition(position events.Position) Until { return Until{bounded: true, position: position} }

// UntilTime stops before the first record that the broker received after t.
func UntilTime(t time.Time) Until { return Until{time: t} }

func (u Until) bound(end events.Position) (generation.Bound, error) {
	if u.bounded && u.position > end {
		return generation.Bound{}, fmt.Errorf("the log ends at position %d, before position %d", end, u.position)
	}
	if u.bounded {
		end = u.position
	}
	return generation.Bound{Position: end, Time: u.time}, nil
}

// BuildOptions configure a build.
type BuildOptions struct {
	// Path is the file to create.
	Path string
	// Replace allows replacing an existing file.
	Replace bool
	// Log is the log to read. Nothing in it is changed.
	Log *eventlog.Log
	// Collections are the declared collections.
	Collections *collections.Set
	// Until says how far to apply the log.
	Until Until
	// Progress, if not nil, is called after each batch, on the goroutine of Build. end is the
	// position that can't be exceeded.
	Progress func(at, end events.Position)
	// Judged, if not nil, is called with the verdict on each record, in the order of the log,
	// on the goroutine of Build. Its error ends Build.
	Judged func(events.Record, events.Verdict) error
}

// Built describes a read model in a file.
type Built struct {
	Position events.Position
	// LogTime is the broker's clock at Position.
	LogTime time.Time
	Topic   string
	TopicID string
	// Collections are the summaries of the collections.
	Collections map[string]digest.Summary

	mark continuity.Mark
}

// Build builds a read model from the beginning of the log, in an ordinary SQLite file that no
// process has open. The file appears once it is complete, and not at all if there is an error.
// Build returns a [refusal.Error] if the log lacks some of its records or one of them needs a
// newer version, an error that wraps fs.ErrExist if the file exists and may not be replaced,
// and ctx.Err() if ctx ends.
func Build(ctx context.Context, options BuildOptions) (built Built, err error) {
	if err := options.vacant(); err != nil {
		return Built{}, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(options.Path), filepath.Base(options.Path)+".building-*")
	if err != nil {
		return Built{}, fmt.Errorf("create %s: %w", options.Path, err)
	}
	defer func() { err = errors.Join(err, sqlite.RemoveDatabase(temporary.Name())) }()
	if err := temporary.Close(); err != nil {
		return Built{}, fmt.Errorf("create %s: %w", options.Path, err)
	}
	if built, err = options.build(ctx, temporary.Name()); err != nil {
		return Built{}, err
	}
	if err := options.vacant(); err != nil { // the build took a while
		return Built{}, err
	}
	return built, atomicfile.Replace(temporary.Name(), options.Path)
}

func (o BuildOptions) vacant() error {
	if _, err := os.Lstat(o.Path); err == nil && !o.Replace {
		return &fs.PathError{Op: "make", Path: o.Path, Err: fs.ErrExist}
	}
	return nil
}

func (o BuildOptions) build(ctx context.Context, path string) (built Built, err error) {
	g, err := generation.OpenPrivate(ctx, path, o.Collections)
	if err != nil {
		return Built{}, err
	}
	b, err := generation.NewBuilder(ctx, g, o.Log, generation.DefaultMaxBatch)
	if err != nil {
		return Built{}, err
	}
	b.Judged = o.Judged
	defer func() { err = errors.Join(err, b.Stop(), b.Close()) }()
	until, err := o.Until.bound(b.Info.End)
	if err != nil {
		return Built{}, err
	}
	if err := b.Steps(ctx, until, o.Progress); err != nil {
		return Built{}, err
	}
	if err := b.Complete(ctx, o.Collections, slog.New(slog.DiscardHandler)); err != nil {
		return Built{}, err
	}
	return BuiltBy(b.Writer), sqlite.MergeWAL(ctx, b.Writer.Conn, path)
}

// BuiltBy describes the file of a writer.
func BuiltBy(w *applier.Writer) Built {
	return Built{
		Position: w.Position, LogTime: w.LogTime, Topic: w.Meta[applier.MetaTopic], TopicID: w.Meta[applier.MetaTopicID], mark: w.Mark(),
		Collections: w.Summaries(),
	}
}
