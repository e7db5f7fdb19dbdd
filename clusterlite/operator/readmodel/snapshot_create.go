package readmodel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// SnapshotCreate creates a snapshot, or one after the other on a schedule.
type SnapshotCreate struct {
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
	Node              string `name:"node" xor:"whose" placeholder:"NAME" help:"The node to create it. Default: the node that has applied the most records."`
	DataDir           string `name:"data-dir" xor:"whose" placeholder:"DIR" help:"Create it from the data folder of a stopped node. Needs no broker."`
	retention         `embed:""`
	scheduled         `embed:""`
}

func (SnapshotCreate) Help() string {
	return `A running node sends a consistent copy of its read model and continues to serve meanwhile.

With --data-dir the snapshot is created from the data folder of a stopped node. This works without a
broker or a topic, so it can save the data when the log is lost. All rows are checked first, and
nothing in the folder is changed. TMPDIR must have room for a copy of the read model.

If the store is a folder that does not exist, it is created; its parent folder must exist.

With --keep or --keep-for, the new snapshot is verified after it was stored, as by snapshot verify,
and older ones are removed, as by snapshot prune.

With --schedule the command runs until it is stopped. It verifies each snapshot. It creates the first
one at once if the store is empty, or if one was due since the newest one, and repeats a failed attempt
after a minute, and then less often.

Examples:

    clusterlite snapshot create s3://backups?region=eu-west-1&prefix=clusterlite/ --node query-1
    clusterlite snapshot create /backups --data-dir /var/lib/clusterlite
    clusterlite snapshot create /backups --schedule '0 3 * * *' --keep 7 --keep-for 30d`
}

// stored is the result of snapshot create.
type stored struct {
	snapshots.Entry
	Manifest snapshots.Manifest `json:"manifest"`
	// Verified reports that the snapshot was verified after it was stored.
	Verified bool `json:"verified"`
	// Removed lists the older snapshots that were removed.
	Removed []snapshots.Entry `json:"removed,omitempty"`
}

func (s stored) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "stored %s: position %d of topic %s, %d bytes of %d, created by %s\n",
		s.Name, s.Position, s.Manifest.Topic, s.Bytes, s.Manifest.Size, s.Manifest.Node)
	if err == nil && s.Verified {
		_, err = fmt.Fprintln(w, "verified it")
	}
	for _, e := range s.Removed {
		if err == nil {
			_, err = fmt.Fprintf(w, "removed %s\n", e.Name)
		}
	}
	return err
}

// CheckSettings is called by the parser.
func (c *SnapshotCreate) CheckSettings() error {
	if c.on() && c.DataDir != "" {
		return errors.New("--schedule can't be combined with --data-dir, which needs a stopped node")
	}
	if err := c.scheduled.validate(); err != nil {
		return err
	}
	return c.retention.validate()
}

func (c SnapshotCreate) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, err := c.Access.Apply(ctx, out)
	if err != nil {
		return err
	}
	if c.on() {
		return c.keepCreating(ctx, out)
	}
	result, err := c.one(ctx, out)
	if result.Name == "" {
		return err
	}
	return errors.Join(c.Print(out, result), err)
}

// one creates one snapshot. If the snapshot is stored, and what follows fails, it returns both the
// snapshot and the error.
func (c SnapshotCreate) one(ctx context.Context, out subcommand.Streams) (result stored, err error) {
	err = c.create(ctx, func(store *snapshots.Store) (err error) {
		if c.DataDir != "" {
			result, err = c.stopped(ctx, out, store)
		} else {
			result, err = c.running(ctx, out, store)
		}
		if err != nil || !c.on() && !c.given() {
			return err
		}
		if err := verifyStored(ctx, out, store, result.Name); err != nil {
			err = fmt.Errorf("stored %s, but it can't be restored: %w", result.Name, err)
			result = stored{}
			return err
		}
		result.Verified = true
		if !c.given() {
			return nil
		}
		if result.Removed, err = store.Prune(ctx, c.limits(result.Name)); err != nil {
			return fmt.Errorf("stored %s, but could not remove older snapshots: %w", result.Name, err)
		}
		return nil
	})
	return result, err
}

// running creates a snapshot of a running node.
func (c SnapshotCreate) running(ctx context.Context, out subcommand.Streams, store *snapshots.Store) (stored, error) {
	n, err := c.node(ctx, out)
	if err != nil {
		return stored{}, err
	}
	var response *http.Response
	errs := nodes.Each(ctx, out.Stderr, []nodes.Node{n}, func(ctx context.Context, _ int, n nodes.Node) (err error) {
		response, err = n.DoPatiently(ctx, http.MethodGet, snapshots.Path)
		return err
	})
	if errs[0] != nil {
		return stored{}, errs[0]
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	return put(ctx, out, store, response.Body, "snapshot of "+n.Node)
}

// stopped creates a snapshot from the folder of a stopped node.
func (c SnapshotCreate) stopped(ctx context.Context, out subcommand.Streams, store *snapshots.Store) (result stored, err error) {
	lock, err := datafolder.LockExisting(c.DataDir, "clusterlite-snapshot")
	if err != nil {
		return stored{}, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	task := progress.Start(out.Stderr, "check "+c.DataDir, 0, "rows")
	defer task.Done()
	made, err := snapshots.FromFolder(ctx, c.DataDir, whereabouts(c.DataDir), func(done, all int64) error {
		task.Total(all)
		task.Set(done)
		return nil
	})
	task.Done()
	if err != nil {
		return stored{}, err
	}
	defer func() { _ = made.Close() }() // a folder for temporary files
	body, err := made.Open(ctx)
	if err != nil {
		return stored{}, err
	}
	defer func() { _ = body.Close() }() // it was only read
	return put(ctx, out, store, body, "snapshot of "+c.DataDir)
}

// whereabouts identifies a folder on this host, because there may be no node to name.
func whereabouts(dir string) string {
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	host, err := os.Hostname()
	if err != nil {
		return dir
	}
	return host + ":" + dir
}

func put(ctx context.Context, out subcommand.Streams, store *snapshots.Store, body io.Reader, name string) (stored, error) {
	task := progress.Start(out.Stderr, name, 0, progress.Bytes)
	defer task.Done()
	e, m, err := store.Put(ctx, body, task.Set)
	if err != nil {
		return stored{}, err
	}
	return stored{Entry: e, Manifest: m}, nil
}

// node finds the node that creates the snapshot.
func (c SnapshotCreate) node(ctx context.Context, out subcommand.Streams) (nodes.Node, error) {
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return nodes.Node{}, err
	}
	all, err := nodes.All(ctx, log)
	if err = errors.Join(err, log.Close()); err != nil {
		return nodes.Node{}, err
	}
	if c.Node != "" {
		selected, err := nodes.Select(all, c.Node)
		if err != nil {
			return nodes.Node{}, err
		}
		return selected[0], nil
	}
	living := nodes.Living(all)
	if len(living) == 0 {
		return nodes.Node{}, nodes.ErrNone
	}
	return slices.MaxFunc(living, func(a, b nodes.Node) int { return cmp.Compare(a.Position, b.Position) }), nil
}
