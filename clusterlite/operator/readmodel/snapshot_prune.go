package readmodel

import (
	"context"
	"fmt"
	"io"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// defaultKeep is the number of snapshots that snapshot prune keeps if no flag says it.
const defaultKeep = 7

// SnapshotPrune removes old snapshots.
type SnapshotPrune struct {
	subcommand.Output `embed:""`
	snapshotStore     `embed:""`
	retention         `embed:""`
}

// Help says what is kept.
func (SnapshotPrune) Help() string {
	return `Keeps the newest snapshots of each topic by number (--keep, default 7, or 1 with --keep-for alone), by
age (--keep-for), or by both: a snapshot stays if one of the two keeps it. Before any is removed, the
newest one is verified, as by snapshot verify. If it can't be restored, the next older one is, and so
on. The newest one that can be restored is never removed.

Examples:

    clusterlite snapshot prune /backups --keep 3
    clusterlite snapshot prune /backups --keep 7 --keep-for 30d`
}

// CheckSettings is called by the parser.
func (c *SnapshotPrune) CheckSettings() error {
	if !c.given() {
		keep := defaultKeep
		c.Keep = &keep
	}
	return c.validate()
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

// Run removes and reports.
func (c SnapshotPrune) Run(ctx context.Context, out subcommand.Streams) error {
	return c.open(ctx, func(store *snapshots.Store) error {
		removed, err := store.Prune(ctx, c.limits(""))
		if err != nil {
			return err
		}
		return c.Print(out, pruned{append([]snapshots.Entry{}, removed...)})
	})
}
