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
	"text/tabwriter"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Snapshot has the subcommands that create, list, restore and prune snapshots in a store.
type Snapshot struct {
	Create  SnapshotCreate  `cmd:"" help:"Create a snapshot of a running node, or of a stopped node's folder; check it and store it."`
	List    SnapshotList    `cmd:"" help:"List the snapshots in a store."`
	Restore SnapshotRestore `cmd:"" help:"Restore the read model of a stopped node from a snapshot."`
	Append  SnapshotAppend  `cmd:"" help:"Recreate the log of a lost topic from a snapshot."`
	Prune   SnapshotPrune   `cmd:"" help:"Remove all but the newest snapshots of each topic."`
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

type SnapshotCreate struct {
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
	Node              string `name:"node" xor:"whose" placeholder:"NAME" help:"The node to create it. Default: the node that has applied the most records."`
	DataDir           string `name:"data-dir" xor:"whose" placeholder:"DIR" help:"Create it from the data folder of a stopped node. Needs no broker."`
}

func (SnapshotCreate) Help() string {
	return `A running node sends a consistent copy of its read model and continues to serve meanwhile.

With --data-dir the snapshot is created from the data folder of a stopped node. This works without a
broker or a topic, so it can save the data when the log is lost. All rows are checked first, and
nothing in the folder is changed. TMPDIR must have room for a copy of the read model.

If the store is a folder that does not exist, it is created; its parent folder must exist.

Examples:

    clusterlite snapshot create s3://backups?region=eu-west-1&prefix=clusterlite/ --node query-1
    clusterlite snapshot create /backups --data-dir /var/lib/clusterlite`
}

// stored is the result of snapshot create.
type stored struct {
	snapshots.Entry
	Manifest snapshots.Manifest `json:"manifest"`
}

func (s stored) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "stored %s: position %d of topic %s, %d bytes of %d, created by %s\n",
		s.Name, s.Position, s.Manifest.Topic, s.Bytes, s.Manifest.Size, s.Manifest.Node)
	return err
}

func (c SnapshotCreate) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, err := c.Access.Apply(ctx, out)
	if err != nil {
		return err
	}
	if c.DataDir != "" {
		return c.stopped(ctx, out)
	}
	n, err := c.node(ctx, out)
	if err != nil {
		return err
	}
	return c.create(ctx, func(store *snapshots.Store) error {
		var response *http.Response
		errs := nodes.Each(ctx, out.Stderr, []nodes.Node{n}, func(ctx context.Context, _ int, n nodes.Node) (err error) {
			response, err = n.DoPatiently(ctx, http.MethodGet, snapshots.Path)
			return err
		})
		if errs[0] != nil {
			return errs[0]
		}
		defer func() { _ = response.Body.Close() }() // it was only read
		return c.put(ctx, out, store, response.Body, "snapshot of "+n.Node)
	})
}

// stopped creates a snapshot from the folder of a stopped node.
func (c SnapshotCreate) stopped(ctx context.Context, out subcommand.Streams) (err error) {
	lock, err := datafolder.LockExisting(c.DataDir, "clusterlite-snapshot")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	return c.create(ctx, func(store *snapshots.Store) error {
		task := progress.Start(out.Stderr, "check "+c.DataDir, 0, "rows")
		defer task.Done()
		made, err := snapshots.FromFolder(ctx, c.DataDir, whereabouts(c.DataDir), func(done, all int64) error {
			task.Total(all)
			task.Set(done)
			return nil
		})
		task.Done()
		if err != nil {
			return err
		}
		defer func() { _ = made.Close() }() // a folder for temporary files
		body, err := made.Open(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }() // it was only read
		return c.put(ctx, out, store, body, "snapshot of "+c.DataDir)
	})
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

func (c SnapshotCreate) put(ctx context.Context, out subcommand.Streams, store *snapshots.Store, body io.Reader, name string) error {
	task := progress.Start(out.Stderr, name, 0, progress.Bytes)
	defer task.Done()
	e, m, err := store.Put(ctx, body, task.Set)
	if err != nil {
		return err
	}
	task.Done()
	return c.Print(out, stored{e, m})
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
		return nodes.Node{}, errors.New("no running node is known to the broker")
	}
	return slices.MaxFunc(living, func(a, b nodes.Node) int { return cmp.Compare(a.Position, b.Position) }), nil
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

type SnapshotPrune struct {
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
	Keep              int `name:"keep" default:"7" placeholder:"N" help:"Number of snapshots to keep for each topic (default ${default})."`
}

func (SnapshotPrune) Help() string {
	return `Example:
  clusterlite snapshot prune /backups --keep 3`
}

// Validate is called by the parser.
func (c SnapshotPrune) Validate() error {
	if c.Keep < 1 {
		return fmt.Errorf("--keep is %d; allowed: at least 1", c.Keep)
	}
	return nil
}

// pruned lists the snapshots that were removed.
type pruned struct {
	Removed []snapshots.Entry `json:"removed"`
}

func (p pruned) Text(w io.Writer) error {
	for _, e := range p.Removed {
		if _, err := fmt.Fprintf(w, "removed %s\n", e.Name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d removed\n", len(p.Removed))
	return err
}

func (c SnapshotPrune) Run(ctx context.Context, out subcommand.Streams) error {
	return c.open(ctx, func(store *snapshots.Store) error {
		removed, err := store.Prune(ctx, c.Keep)
		if err != nil {
			return err
		}
		return c.Print(out, pruned{append([]snapshots.Entry{}, removed...)})
	})
}
