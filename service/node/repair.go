package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/storagefault"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// openProjection opens the node's projection. If its file is damaged, the file is set aside
// and a new one is built from a snapshot or from the log, unless self-repair is disabled.
func (n *Node) openProjection(ctx context.Context) (err error) {
	options := projections.Options{
		Dir: n.DataDir, Log: n.Log, Collections: n.Collections, Logger: n.Logger, Applied: n.applied(),
		NoSelfRepair: !n.SelfRepair, RepairFrom: n.repairFrom(), ScrubInterval: n.Scrub, CacheBytes: int64(n.CacheMemory),
		Journal: n.keepsJournal(), JournalFillAfter: journalFillAfter,
	}
	n.Model, err = projections.Open(ctx, options)
	if !errors.As(err, &n.setAside) || n.setAside.Fault != storagefault.Corrupt && n.setAside.Fault != storagefault.IO {
		return err
	}
	if !n.SelfRepair {
		return fmt.Errorf("%w. Rebuild it with `clusterlite rebuild --data-dir %s`, or start the node with --self-repair", err, n.DataDir)
	}
	kept, asideErr := datafolder.SetAside(n.DataDir)
	if asideErr != nil {
		return errors.Join(err, asideErr)
	}
	n.Logger.Error("can't open the projection file; keeping it for inspection and rebuilding the projection", "error", err, "damaged_file", kept)
	if err := n.bootstrap(ctx); err != nil {
		return err
	}
	n.Model, err = projections.Open(ctx, options)
	return err
}

// journalFillAfter leaves a node that has just started from a snapshot time for its clients, before
// it reads the whole log to fill its journal.
const journalFillAfter = 30 * time.Second

// keepsJournal reports whether the node keeps a journal. Command services serve no reads, so they
// need one only to restore versions.
func (n *Node) keepsJournal() bool {
	return n.Config.Journal != "off" && (n.Config.Journal != "query" || n.Role != "command")
}

// repairFrom returns what a repair starts from: a snapshot, if --bootstrap is set.
func (n *Node) repairFrom() func(ctx context.Context, path string) error {
	if len(n.Bootstrap) == 0 {
		return nil
	}
	return snapshots.Finder{Sources: n.Bootstrap, Providers: n.Stores, Access: n.access, Log: n.Log, Logger: n.Logger}.Save
}
