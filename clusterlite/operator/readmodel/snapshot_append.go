package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// SnapshotAppend recreates the log of a lost topic: it appends a history that leads to the
// state in a snapshot.
type SnapshotAppend struct {
	settings.Kafka    `embed:""`
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
	Name              string `name:"name" placeholder:"NAME" help:"The name of the snapshot. Default: the newest snapshot of the topic that was stored last."`
	DataDir           string `name:"data-dir" placeholder:"DIR" help:"The data folder of a stopped clusterlite serve, in whose broker the log is recreated."`
}

func (SnapshotAppend) Help() string {
	return `Use this when a topic is lost and no export of its events exists. The topic is created if it is
missing, and must be empty. Entities get back their ids, versions, times and documents; their earlier
history and all idempotency keys are lost. No service may write meanwhile.

The log of a clusterlite serve is in its data folder: stop it and use --data-dir. Afterwards, move the
folder's read model to the new log with clusterlite rebuild --data-dir.

Examples:

    clusterlite snapshot append /backups --kafka-brokers kafka-1:9092
    clusterlite snapshot append /backups --data-dir ./clusterlite-data`
}

// appended is the result: a snapshot whose state is in the log again.
type appended struct {
	Name     string             `json:"name"`
	Position events.Position    `json:"position"`
	Events   int64              `json:"events"`
	Manifest snapshots.Manifest `json:"manifest"`
	// Differs names the collections whose digests differ from those of the snapshot.
	Differs []string `json:"differs"`
}

func (a appended) Text(w io.Writer) error {
	said := "and gives the same rows"
	if len(a.Differs) > 0 {
		said = fmt.Sprintf("but gives different rows for %v: delete the topic and start again", a.Differs)
	}
	_, err := fmt.Fprintf(w, "appended %d events for %s; the log ends at %d, %s\n", a.Events, a.Name, a.Position, said)
	return err
}

func (c SnapshotAppend) Run(ctx context.Context, out subcommand.Streams) error {
	dir, err := os.MkdirTemp("", "clusterlite-append-*")
	if err != nil {
		return err
	}
	a, err := c.run(ctx, out, dir)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	if err := c.Print(out, a); err != nil || len(a.Differs) == 0 {
		return err
	}
	return process.ErrReported
}

func (c SnapshotAppend) run(ctx context.Context, out subcommand.Streams, dir string) (a appended, err error) {
	path := filepath.Join(dir, "snapshot.db")
	err = c.open(ctx, func(store *snapshots.Store) error {
		names, err := SnapshotRestore{Name: c.Name}.names(ctx, store)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("%w in %s", snapshots.ErrNone, c.Store)
		}
		a.Name = names[0]
		a.Manifest, err = saveSnapshot(ctx, out, store, a.Name, path)
		return err
	})
	if err != nil {
		return a, err
	}
	if c.DataDir != "" {
		lock, err := datafolder.LockExisting(c.DataDir, "clusterlite-append")
		if err != nil {
			return a, err
		}
		defer func() { _ = lock.Release() }() // the lock ends with the process anyway
		stop, err := subcommand.StartBroker(c.DataDir, &c.Kafka, out)
		if err != nil {
			return a, err
		}
		defer stop()
	}
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	info, err := log.Prepare(ctx)
	if err != nil {
		return a, err
	}
	if info.End > 0 {
		return a, fmt.Errorf("topic %s must be empty, but holds %d records. Nothing was appended. Use another topic, or delete this one if its content is not needed", log.Topic(), info.End)
	}
	if a.Events, err = appendHistory(ctx, out, log, path); err != nil {
		return a, fmt.Errorf("%w: delete the topic before you start again", err)
	}
	return a, a.compare(ctx, out, log, filepath.Join(dir, "built.db"))
}

// appendHistory appends events that lead to the state in the file.
func appendHistory(ctx context.Context, out subcommand.Streams, log *eventlog.Log, path string) (n int64, err error) {
	const batchEvents, batchBytes = 500, 1 << 20
	task := progress.Start(out.Stderr, "append", 0, "events")
	defer task.Done()
	var batch []events.Event
	bytes := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if _, err := log.Append(ctx, batch...); err != nil {
			return err
		}
		n += int64(len(batch))
		task.Set(n)
		batch, bytes = batch[:0], 0
		return nil
	}
	err = offline.Contents(ctx, path, func(e events.Entity) error {
		return history(e, func(event events.Event) error {
			batch = append(batch, event)
			if bytes += len(event.Document); len(batch) < batchEvents && bytes < batchBytes {
				return nil
			}
			return flush()
		})
	})
	if err == nil {
		err = flush()
	}
	return n, err
}

// history returns events that lead to the current state of an entity, one for each of its
// versions. All of them except a deletion have the final document. For a deleted entity, this
// document is empty.
func history(e events.Entity, each func(events.Event) error) error {
	created, err := time.Parse(events.TimeFormat, e.CreatedAt)
	if err != nil {
		return err
	}
	updated, err := time.Parse(events.TimeFormat, e.UpdatedAt)
	if err != nil {
		return err
	}
	body := []byte(`{}`)
	if !e.Deleted {
		d, err := document.ParseStored(e.Rendered)
		if err != nil {
			return fmt.Errorf("the document of %s/%s: %w", e.Collection, e.ID, err)
		}
		body = d.Bytes()
	}
	for v := int64(1); v <= e.Version; v++ {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		event := events.Event{
			ID: id.String(), Source: "/clusterlite/tool/snapshot", Collection: e.Collection, EntityID: e.ID,
			Kind: events.Updated, Version: v, Time: updated, Claims: e.Claims, Document: body,
		}
		switch {
		case v == 1:
			event.Kind, event.Time = events.Created, created
		case v == e.Version && e.Deleted:
			event.Kind, event.Document = events.Deleted, nil
		}
		if err := each(event); err != nil {
			return err
		}
	}
	return nil
}

// compare builds a read model from the log and compares it with the snapshot.
func (a *appended) compare(ctx context.Context, out subcommand.Streams, log *eventlog.Log, path string) error {
	task := progress.Start(out.Stderr, "check", a.Events, "events")
	defer task.Done()
	built, err := offline.Build(ctx, offline.BuildOptions{
		Path: path, Log: log, Collections: new(collections.Set),
		Progress: func(at, _ events.Position) { task.Set(int64(at)) },
	})
	if err != nil {
		return fmt.Errorf("check the new log: %w", err)
	}
	a.Position, a.Differs = built.Position, a.Manifest.Differing(built)
	return nil
}
