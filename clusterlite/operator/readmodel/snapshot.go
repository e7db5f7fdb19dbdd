package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// Snapshot has the subcommands that create, list, verify, restore and prune snapshots in a store.
type Snapshot struct {
	Create  SnapshotCreate  `cmd:"" help:"Create a snapshot of a running node, or of a stopped node's folder; check it and store it. Once, or on a schedule."`
	List    SnapshotList    `cmd:"" help:"List the snapshots in a store."`
	Restore SnapshotRestore `cmd:"" help:"Restore the read model of a stopped node from a snapshot."`
	Append  SnapshotAppend  `cmd:"" help:"Recreate the log of a lost topic from a snapshot."`
	Verify  SnapshotVerify  `cmd:"" help:"Check that snapshots can be restored; exit with status 1 if one can't."`
	Prune   SnapshotPrune   `cmd:"" help:"Remove old snapshots of each topic."`
}

// snapshotStore is the argument that names the store.
type snapshotStore struct {
	Store string `arg:"" placeholder:"STORE" help:"A folder or a bucket (s3://…, gs://…, azblob://…)."`
}

// open opens the store for the duration of use. It does not create the store.
func (s snapshotStore) open(ctx context.Context, use func(*snapshots.Store) error) error {
	return s.with(ctx, subcommand.Stores.Open, use)
}

// create opens the store for the duration of use, and creates a missing folder.
func (s snapshotStore) create(ctx context.Context, use func(*snapshots.Store) error) error {
	return s.with(ctx, subcommand.Stores.Create, use)
}

func (s snapshotStore) with(ctx context.Context, open func(context.Context, string) (*snapshots.Store, error), use func(*snapshots.Store) error) error {
	store, err := open(ctx, s.Store)
	if err != nil {
		return err
	}
	return errors.Join(use(store), store.Close())
}

type SnapshotList struct {
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
}

func (SnapshotList) Help() string {
	return `Example:
  clusterlite snapshot list /backups --output json`
}

// listed holds the snapshots of a store, the newest of each topic first.
type listed struct {
	Snapshots []snapshots.Entry `json:"snapshots"`
}

func (l listed) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "POSITION\tSTORED\tBYTES\tTOPIC ID\tNAME") // Flush returns the error
	for _, e := range l.Snapshots {
		_, _ = fmt.Fprintf(t, "%d\t%s\t%d\t%s\t%s\n", e.Position, events.FormatTime(e.StoredAt), e.Bytes, e.TopicID, e.Name)
	}
	return t.Flush()
}

func (c SnapshotList) Run(ctx context.Context, out subcommand.Streams) error {
	return c.open(ctx, func(store *snapshots.Store) error {
		all, err := store.List(ctx)
		if err != nil {
			return err
		}
		return c.Print(out, listed{append([]snapshots.Entry{}, all...)})
	})
}

type SnapshotRestore struct {
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
	DataDir           string `name:"data-dir" env:"CLUSTERLITE_DATA_DIR" default:"./clusterlite-data" placeholder:"DIR" help:"The data folder of the stopped node (default ${default})."`
	Name              string `name:"name" placeholder:"NAME" help:"The name of the snapshot. Default: the newest valid snapshot of the topic that was stored last."`
	Topic             string `name:"topic-id" placeholder:"ID" help:"Consider only snapshots of the topic with this id."`
	Force             bool   `name:"force" help:"Replace the folder's read model even if it has entities that the snapshot lacks; the old one is then kept."`
}

func (SnapshotRestore) Help() string {
	return `Replaces the folder's read model with the snapshot, unless the read model has entities that the
snapshot lacks; see --force. When the node starts, it continues from the snapshot. It refuses to
start if the snapshot is of a different topic than the one it is configured for.

Example:
  clusterlite snapshot restore /backups --data-dir /var/lib/clusterlite`
}

// restored is a snapshot that was restored as a node's read model.
type restored struct {
	Name     string             `json:"name"`
	DataDir  string             `json:"data_dir"`
	Manifest snapshots.Manifest `json:"manifest"`
	// Kept is the replaced read model, if it was kept.
	Kept string `json:"kept,omitempty"`
}

func (r restored) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "restored %s into %s: position %d of topic %s%s\n", r.Name, r.DataDir, r.Manifest.Position, r.Manifest.Topic, kept(r.Kept))
	return err
}

func (c SnapshotRestore) Run(ctx context.Context, out subcommand.Streams) error {
	return c.open(ctx, func(store *snapshots.Store) error {
		names, err := c.names(ctx, store)
		if err == nil && len(names) == 0 {
			err = fmt.Errorf("%w in %s", snapshots.ErrNone, c.Store)
		}
		if err != nil {
			return err
		}
		lock, err := datafolder.LockDir(c.DataDir, "clusterlite snapshot restore")
		if err != nil {
			return err
		}
		return errors.Join(c.first(ctx, out, store, names), lock.Release())
	})
}

// first restores the first valid snapshot.
func (c SnapshotRestore) first(ctx context.Context, out subcommand.Streams, store *snapshots.Store, names []string) error {
	for _, name := range names {
		r, err := c.restore(ctx, out, store, name)
		if err == nil {
			return c.Print(out, r)
		}
		if lost := (*datafolder.LossError)(nil); ctx.Err() != nil || c.Name != "" || errors.As(err, &lost) || isSilent(err) {
			return err
		}
		_, _ = fmt.Fprintf(out.Stderr, "skipped %s: %v\n", name, err) // a failed warning does not end the restore
	}
	return snapshots.ErrNone
}

// isSilent reports whether an error says that the store did not answer. In that case older
// snapshots are not available either, and the right one can't be determined.
func isSilent(err error) bool {
	var silent *httpclient.SilentError
	return errors.As(err, &silent)
}

// names returns the snapshots to try, in order.
func (c SnapshotRestore) names(ctx context.Context, store *snapshots.Store) (names []string, err error) {
	if c.Name != "" {
		return []string{c.Name}, nil
	}
	all, err := store.List(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if c.Topic == "" {
		if err := poorer(ctx, store, all); err != nil {
			return nil, err
		}
		c.Topic = all[0].TopicID // the topic of the newest snapshot, which comes first
	}
	for _, e := range all {
		if e.TopicID == c.Topic {
			names = append(names, e.Name)
		}
	}
	return names, nil
}

// poorer returns an error if the newest snapshot has fewer entities than the newest one of
// an earlier topic of the same name. This happens if a topic was lost and recreated, and a
// scheduled job then stored a snapshot of the nearly empty topic.
func poorer(ctx context.Context, store *snapshots.Store, all []snapshots.Entry) error {
	newest, err := store.Manifest(ctx, all[0].Name)
	if isSilent(err) {
		return err
	}
	if err != nil {
		return ctx.Err() // snapshots that can't be read are skipped
	}
	seen := map[string]bool{newest.TopicID: true}
	for _, e := range all {
		if seen[e.TopicID] {
			continue
		}
		seen[e.TopicID] = true
		m, err := store.Manifest(ctx, e.Name)
		if isSilent(err) {
			return err
		}
		if err != nil || m.Topic != newest.Topic || total(m.Entities) <= total(newest.Entities) {
			continue
		}
		return fmt.Errorf("the newest snapshot, %s, has %d entities, but %s, of an earlier topic %s, has %d: choose one with --name",
			all[0].Name, total(newest.Entities), e.Name, m.Topic, total(m.Entities))
	}
	return ctx.Err()
}

func total(entities map[string]int64) (n int64) {
	for _, count := range entities {
		n += count
	}
	return n
}

func (c SnapshotRestore) restore(ctx context.Context, out subcommand.Streams, store *snapshots.Store, name string) (restored, error) {
	path, err := snapshots.Temporary(c.DataDir)
	if err != nil {
		return restored{}, err
	}
	defer func() { _ = os.Remove(path) }() // it no longer exists once it is installed
	m, err := saveSnapshot(ctx, out, store, name, path)
	if err != nil {
		return restored{}, err
	}
	kept, err := datafolder.Restore(ctx, c.DataDir, path, c.Force)
	return restored{name, c.DataDir, m, kept}, err
}

// saveSnapshot checks a snapshot and writes its file to path.
func saveSnapshot(ctx context.Context, out subcommand.Streams, store *snapshots.Store, name, path string) (m snapshots.Manifest, err error) {
	body, err := store.Open(ctx, name)
	if err != nil {
		return m, err
	}
	defer func() { _ = body.Close() }() // it was only read
	reader, err := snapshots.Read(body)
	if err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	task := progress.Start(out.Stderr, "fetch "+name, reader.Size, progress.Bytes)
	defer task.Done()
	if _, err := reader.Save(ctx, path, task.Set); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	return reader.Manifest, nil
}
