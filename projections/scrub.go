package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// scrubFirst is when the first scrub begins, if the interval is not shorter.
const scrubFirst = time.Minute

// ScrubStatus tells of the scrubs: a projection reads, from time to time, all of its file,
// has SQLite check the structure, and adds up the rows to compare them with the digests that
// were kept when they were written. What it finds damaged is repaired like anything else.
type ScrubStatus struct {
	// Completed and Failed count the scrubs that read all of the file: without a finding,
	// and with one. One that was kept from doing so counts as neither.
	Completed, Failed int64
	// Ended is when the last one of these ended, zero if there was none; Took is how long it
	// lasted.
	Ended time.Time
	Took  time.Duration
}

// scrubs scrubs from time to time.
func (p *Projection) scrubs(ctx context.Context) {
	pause := min(scrubFirst, p.options.ScrubInterval)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = p.options.ScrubInterval
		if _, damage := p.life.damaged(); damage != nil || !p.scrub(ctx) {
			pause = min(scrubFirst, pause) // the next time
		}
	}
}

// scrub reads the file of the generation that serves once and reports what it finds. It
// returns false if something kept it from that.
func (p *Projection) scrub(ctx context.Context) (done bool) {
	g := p.hold()
	defer g.release()
	began := time.Now()
	err := g.scrub(ctx)
	if ctx.Err() != nil {
		return false
	}
	var fault *StorageError
	found := errors.As(p.observe(g, err), &fault) && fault.Fault.damages()
	if err != nil && !found {
		p.options.Logger.Warn("could not scrub the projection; retrying later", "error", err)
		return false
	}
	p.storage.noteScrub(began, found)
	p.options.Logger.Debug("scrubbed the projection", "sound", !found, "took", time.Since(began))
	return true
}

func (s *storageStats) noteScrub(began time.Time, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scrub.Ended = time.Now()
	s.scrub.Took = s.scrub.Ended.Sub(began)
	if found {
		s.scrub.Failed++
	} else {
		s.scrub.Completed++
	}
}

// scrub checks table by table, each in a snapshot of its own, so that the write-ahead log
// need not wait for all of them. It rests for as long as it works.
func (g *generation) scrub(ctx context.Context) error {
	var tables []string
	if err := g.onExport(ctx, func(r *reader) error {
		return r.SelectContext(ctx, &tables, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	}); err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	rest := newRest()
	for _, table := range tables {
		if err := g.checkTable(ctx, table); err != nil {
			return err
		}
		if err := rest.take(ctx); err != nil {
			return err
		}
	}
	collections, err := g.collections(ctx)
	if err != nil {
		return err
	}
	for _, collection := range collections {
		if err := g.addUp(ctx, collection, rest); err != nil {
			return err
		}
	}
	return nil
}

func (g *generation) collections(ctx context.Context) ([]string, error) {
	s, err := g.exportSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // it only read
	return s.Collections(ctx)
}

// onExport runs a read on a connection for long ones.
func (g *generation) onExport(ctx context.Context, do func(*reader) error) error {
	r, err := g.db.exports.acquire(ctx)
	if err != nil {
		return err
	}
	defer r.release()
	return do(r)
}

func (g *generation) exportSnapshot(ctx context.Context) (*Snapshot, error) {
	r, err := g.db.exports.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return begin(r, func() {}, nil)
}

// checkTable has SQLite check the structure of a table and its indexes.
func (g *generation) checkTable(ctx context.Context, name string) error {
	var findings []string
	if err := g.onExport(ctx, func(r *reader) error {
		return r.SelectContext(ctx, &findings, `SELECT quick_check FROM pragma_quick_check(?)`, name)
	}); err != nil {
		return fmt.Errorf("check the table %s: %w", name, err)
	}
	if len(findings) == 1 && findings[0] == "ok" {
		return nil
	}
	return &StorageError{Fault: FaultCorrupt, Path: g.db.path, Err: fmt.Errorf("the check of the table %s found: %s", name, strings.Join(findings, "; "))}
}

// addUp compares the rows of a collection with their digest.
func (g *generation) addUp(ctx context.Context, collection string, rest *rest) error {
	s, err := g.exportSnapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it only read
	kept, err := s.Summaries(ctx)
	if err != nil {
		return err
	}
	const every = 1 << 12
	rows := 0
	step := func() error {
		if rows++; rows%every == 0 {
			return rest.take(ctx)
		}
		return nil
	}
	found, err := s.audit(ctx, collection, step, step)
	if err != nil {
		return unreadableRow(g.db.path, err)
	}
	if found.Kept = kept[collection]; found.Differs() {
		return &StorageError{Fault: FaultCorrupt, Path: g.db.path, Err: fmt.Errorf("at position %d the rows of %s differ from those that were written", s.At, collection)}
	}
	return rest.take(ctx)
}

// rest has a task pause for as long as it has worked since the last pause.
type rest struct{ since time.Time }

func newRest() *rest { return &rest{time.Now()} }

func (r *rest) take(ctx context.Context) error {
	defer func() { r.since = time.Now() }()
	select {
	case <-time.After(time.Since(r.since)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
