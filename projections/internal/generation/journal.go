package generation

import (
	"log/slog"
	"path/filepath"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// KeepJournal opens the journal of the generation, or begins one, and has the writer keep it. It
// must be called before the first batch. If none is to be kept, it removes the one of an earlier
// run.
func (g *Generation) KeepJournal(keep bool, logger *slog.Logger) (err error) {
	if !keep {
		return journal.Remove(sqlite.JournalOf(g.DB.Path))
	}
	g.Journal, err = journal.Open(journal.Options{Dir: sqlite.JournalOf(g.DB.Path), At: g.Writer.Position, LogTime: g.Writer.LogTime})
	if err != nil {
		return err
	}
	if why := g.Journal.Reset(); why != nil {
		logger.Warn("the journal of events does not reach back to the beginning of the log; it begins here until it is rebuilt", "file", filepath.Base(g.DB.Path), "position", g.Writer.Position, "reason", why)
	}
	g.Writer.Record(g.Journal)
	return g.syncJournalFirst()
}

// syncJournalFirst has the journal synced before each checkpoint of the file. A power loss then
// leaves a journal that is not behind the file.
func (g *Generation) syncJournalFirst() error {
	if g.Journal == nil || g.DB.WAL == nil {
		return nil
	}
	g.DB.WAL.SyncFirst(g.Journal.Sync)
	return g.Journal.Sync()
}

// CopyJournal copies the journal of another generation, which may be in use, before KeepJournal cuts
// it to the position of this one.
func (g *Generation) CopyJournal(from string) error {
	return journal.Copy(sqlite.JournalOf(from), sqlite.JournalOf(g.DB.Path))
}
