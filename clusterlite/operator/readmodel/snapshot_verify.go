package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// SnapshotVerify checks that snapshots can be restored.
type SnapshotVerify struct {
	settings.Kafka    `embed:""`
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
	Name              []string `name:"name" xor:"which" placeholder:"NAME" help:"The snapshots to verify, repeated or separated by commas. Default: the newest snapshot of the topic that was stored last."`
	All               bool     `name:"all" xor:"which" help:"Verify all snapshots in the store."`
	Deep              bool     `name:"deep" help:"Also build a read model from the log up to the snapshot's position, in a folder below TMPDIR, and compare the digests. Needs a broker."`
}

// Help says what is checked.
func (SnapshotVerify) Help() string {
	return `Restores each snapshot into a temporary file below TMPDIR, and checks the checksum of the file, its
digests against the manifest, and each row against the digests. This needs no broker and changes
nothing. With --deep, the digests are also compared with those that the log gives at the snapshot's
position. The exit status is 1 if a snapshot can't be restored or differs from the log.

Examples:

    clusterlite snapshot verify /backups
    clusterlite snapshot verify /backups --all --output json
    clusterlite snapshot verify /backups --deep --kafka-brokers kafka-1:9092`
}

// verifiedSnapshot is the result for one snapshot.
type verifiedSnapshot struct {
	Name     string          `json:"name"`
	Position events.Position `json:"position"`
	Entities int64           `json:"entities"`
	Bytes    int64           `json:"bytes"`
	// Log reports that the digests were compared with the log.
	Log bool `json:"compared_with_log"`
	// Problem says why the snapshot is of no use; empty if it is sound.
	Problem string `json:"problem,omitempty"`
}

// verified is the result of snapshot verify.
type verified struct {
	Snapshots []verifiedSnapshot `json:"snapshots"`
}

func (v verified) Text(w io.Writer) error {
	for _, s := range v.Snapshots {
		said := fmt.Sprintf("can be restored: position %d, %d entities, %d bytes", s.Position, s.Entities, s.Bytes)
		if s.Log {
			said += ", and the log gives the same rows"
		}
		if s.Problem != "" {
			said = "CAN NOT BE RELIED ON: " + s.Problem
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", s.Name, said); err != nil {
			return err
		}
	}
	return nil
}

// Run verifies and reports.
func (c SnapshotVerify) Run(ctx context.Context, out subcommand.Streams) error {
	var log *eventlog.Log
	if c.Deep {
		var err error
		if log, err = subcommand.OpenLog(c.Kafka, out); err != nil {
			return err
		}
		defer func() { _ = log.Close() }() // it was only read
	}
	v, sound := verified{Snapshots: []verifiedSnapshot{}}, true
	err := c.open(ctx, func(store *snapshots.Store) error {
		names, err := c.names(ctx, store)
		if err != nil {
			return err
		}
		for _, name := range names {
			one, err := c.verify(ctx, out, store, log, name)
			if err != nil {
				return err
			}
			v.Snapshots, sound = append(v.Snapshots, one), sound && one.Problem == ""
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.Print(out, v); err != nil || sound {
		return err
	}
	return process.ErrReported
}

// names returns the snapshots to verify.
func (c SnapshotVerify) names(ctx context.Context, store *snapshots.Store) (names []string, err error) {
	if len(c.Name) > 0 {
		return c.Name, nil
	}
	all, err := store.List(ctx)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w in %s", snapshots.ErrNone, c.Store)
	}
	if err != nil {
		return nil, err
	}
	if !c.All {
		all = all[:1]
	}
	for _, e := range all {
		names = append(names, e.Name)
	}
	return names, nil
}

// verify verifies one snapshot. An error means that the snapshot could not be checked.
func (c SnapshotVerify) verify(ctx context.Context, out subcommand.Streams, store *snapshots.Store, log *eventlog.Log, name string) (v verifiedSnapshot, err error) {
	task := progress.Start(out.Stderr, "verify "+name, 0, progress.Bytes)
	defer task.Done()
	m, _, err := store.Verify(ctx, name, task.Set)
	task.Done()
	v = verifiedSnapshot{Name: name, Position: m.Position, Entities: total(m.Entities), Bytes: m.Size}
	var corrupt *snapshots.CorruptError
	var format *snapshots.FormatError
	if errors.As(err, &corrupt) || errors.As(err, &format) {
		v.Problem = err.Error()
		return v, nil
	}
	if err != nil || log == nil {
		return v, err
	}
	v.Problem, err = compareWithLog(ctx, out, log, m)
	v.Log = err == nil
	return v, err
}

// compareWithLog builds a read model up to the position of a snapshot, and says how the two
// differ.
func compareWithLog(ctx context.Context, out subcommand.Streams, log *eventlog.Log, m snapshots.Manifest) (problem string, err error) {
	info, err := subcommand.DescribeLog(ctx, log)
	if err != nil {
		return "", err
	}
	claimed := offline.Built{Position: m.Position, Topic: m.Topic, TopicID: m.TopicID}
	if err := claimed.CheckTopic(log.Topic(), info); err != nil {
		return err.Error(), nil //nolint:nilerr // it is the finding
	}
	if m.Position > info.End {
		return fmt.Sprintf("it is at position %d, but the log ends at %d", m.Position, info.End), nil
	}
	dir, err := os.MkdirTemp("", "clusterlite-verify-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	task := progress.Start(out.Stderr, "read the log", int64(m.Position), "events")
	defer task.Done()
	built, err := offline.Build(ctx, offline.BuildOptions{
		Path: filepath.Join(dir, "built.db"), Log: log, Collections: new(collections.Set), Until: offline.UntilPosition(m.Position),
		Progress: func(at, _ events.Position) { task.Set(int64(at)) },
	})
	if err != nil {
		return "", fmt.Errorf("build a read model from the log: %w", err)
	}
	if differs := m.Differing(built); len(differs) > 0 {
		return "the log gives other rows for " + strings.Join(differs, ", "), nil
	}
	return "", nil
}

// verifyStored verifies a snapshot that was just stored.
func verifyStored(ctx context.Context, out subcommand.Streams, store *snapshots.Store, name string) error {
	task := progress.Start(out.Stderr, "verify "+name, 0, progress.Bytes)
	defer task.Done()
	_, _, err := store.Verify(ctx, name, task.Set)
	return err
}
