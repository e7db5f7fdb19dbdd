package reads

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// CopyTo writes the read models at the transaction's position into an ordinary SQLite file that
// no process has open. It replaces an existing file, and does not sync the copy. If there is an
// error, it leaves no file.
func (s *Tx) CopyTo(ctx context.Context, path string) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(s.observedCopying(fmt.Errorf("copy the read model to %s: %w", path, err)), sqlite.RemoveDatabase(path))
		}
	}()
	if err := sqlite.RemoveDatabase(path); err != nil {
		return err
	}
	// The copy needs no rollback journal and no syncs, because an incomplete copy is removed. A
	// node that joins the cluster waits for the copy.
	target, err := sqlite.Connect(ctx, path, 1, url.Values{"_journal_mode": {"OFF"}, "_synchronous": {"OFF"}})
	if err != nil {
		return err
	}
	return errors.Join(sqlite.Backup(ctx, s.conn.Conn, target), target.Close())
}

// observedCopying is observed for a copy, whose errors may come from the file that is written.
// It reports only those that must come from the file that is read.
func (s *Tx) observedCopying(err error) error {
	if fault, is := storagefault.FaultOf(err); is && fault == storagefault.Corrupt {
		return s.observed(err)
	}
	return err
}
