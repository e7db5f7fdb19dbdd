package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

const (
	// guardEvery is the interval between checks of the files and of the read path.
	guardEvery = time.Second
	// probeTimeout is how long two small reads may take before the read path counts as stuck.
	// It is longer than they wait for their connections.
	probeTimeout = 2*sqlite.ReadPatience + 4*time.Second
)

// A ReadPathError means that a small test read, on the path that requests take, failed or did
// not finish.
type ReadPathError struct{ Err error }

// Error describes the failure.
func (e *ReadPathError) Error() string { return fmt.Sprintf("the projection can't be read: %v", e.Err) }

// Unwrap returns the cause.
func (e *ReadPathError) Unwrap() error { return e.Err }

// startGuards starts the goroutines that watch the storage while the projection runs. stop ends
// them and waits for them.
func (p *Projection) startGuards(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var guards sync.WaitGroup
	guards.Go(func() { p.guardFiles(ctx) })
	guards.Go(func() { p.guardReads(ctx) })
	if p.options.Journal && !p.options.NoSelfRepair {
		guards.Go(func() { p.guardJournal(ctx) })
	}
	if p.options.ScrubInterval > 0 {
		guards.Go(func() { p.scrubs(ctx) })
	}
	return func() { cancel(); guards.Wait() }
}

// every calls do immediately, and then repeatedly with a pause in between, until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	for ctx.Err() == nil {
		do()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// guardFiles checks whether the files of the generation that serves are still the ones that it
// opened. If they were replaced, reads and writes keep working for a while, on files that no
// other connection sees.
func (p *Projection) guardFiles(ctx context.Context) {
	every(ctx, guardEvery, func() {
		g := p.hold()
		defer g.Release()
		if fault := g.Replaced(); fault != nil {
			p.handleFault(g, fault)
		}
		p.observeCheckpoints(g)
	})
}

// observeCheckpoints reports the failure of a checkpoint in the background. A failure that does
// not damage the file costs nothing until the WAL has to be truncated, when batches fail too.
func (p *Projection) observeCheckpoints(g *generation.Generation) {
	err := p.observe(g, g.DB.WAL.Failed())
	if err == nil {
		p.checkpointing.End()
		return
	}
	if fault := (*storagefault.Error)(nil); errors.As(err, &fault) && fault.Fault.Damages() {
		return // logged already
	}
	if lasts, due := p.checkpointing.Due(err, time.Now()); due {
		p.options.Logger.Warn("can't copy the write-ahead log into the projection's file; retrying every second. Nothing is lost, but the write-ahead log grows meanwhile", "error", err, "for", lasts)
	}
}

// guardReads makes small reads on the path that requests take, so that the node does not claim
// to be ready while no read succeeds. It waits for a read that hangs before it starts another.
func (p *Projection) guardReads(ctx context.Context) {
	every(ctx, guardEvery, func() {
		ended := make(chan error, 1)
		go func() { ended <- p.probe(ctx) }()
		timer := time.NewTimer(probeTimeout)
		defer timer.Stop()
		select {
		case err := <-ended:
			p.noteProbe(ctx, err)
		case <-timer.C:
			p.noteProbe(ctx, &ReadPathError{fmt.Errorf("a small read did not finish within %s: the disk does not respond", probeTimeout)})
			p.noteProbe(ctx, <-ended) // the read's own deadline has passed, so it ends unless the disk hangs
		}
	})
}

// probe reads the checkpoint, once as a request reads an entity and once as a request reads a
// list.
func (p *Projection) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := p.probeEntities(ctx)
	if err == nil {
		var s *reads.Tx
		if s, err = p.BeginRead(ctx); err == nil {
			err = s.Close()
		}
	}
	if err == nil || errors.Is(err, ErrOverloaded) {
		return nil // starved finds out from the connection pools whether the overload lasts
	}
	return &ReadPathError{err}
}

func (p *Projection) probeEntities(ctx context.Context) error {
	g := p.hold()
	defer g.Release()
	return readOn(ctx, p, g, g.DB.Entities, reads.Probe)
}

func (p *Projection) noteProbe(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	switch was := p.life.Probed(err); {
	case err != nil && was == nil:
		p.options.Logger.Error("reads of the projection hang; this node is not ready", "error", err)
	case err == nil && was != nil:
		p.options.Logger.Info("reads of the projection work again")
	}
}

// stuckAfter is how long reads may fail to get a connection before the node becomes unready.
// Slow reads alone do not cause this, since they free their connections one after another.
const stuckAfter = 15 * time.Second

// scrubFirst is the time until the first scrub, if the interval is not shorter.
const scrubFirst = time.Minute

// ScrubStatus describes the scrubs. At intervals the projection reads its whole file, has
// SQLite check the structure, and compares the rows with the digests stored when they were
// written. Damage that a scrub finds is repaired like any other.
type ScrubStatus struct {
	// Completed and Failed count the scrubs that read the whole file: those without findings,
	// and those with. A scrub that was interrupted counts as neither.
	Completed, Failed int64
	// Ended is when the last such scrub ended, zero if there was none. Took is its duration.
	Ended time.Time
	Took  time.Duration
}

// scrubs runs scrubs at intervals.
func (p *Projection) scrubs(ctx context.Context) {
	pause := min(scrubFirst, p.options.ScrubInterval)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = p.options.ScrubInterval
		if _, damage := p.life.Damaged(); damage != nil || !p.scrub(ctx) {
			pause = min(scrubFirst, pause) // retry soon
		}
	}
}

// scrub reads the whole file of the generation that serves and reports damage. It returns false
// if it was interrupted.
func (p *Projection) scrub(ctx context.Context) (done bool) {
	g := p.hold()
	defer g.Release()
	began := time.Now()
	err := g.Scrub(ctx)
	if ctx.Err() != nil {
		return false
	}
	var fault *storagefault.Error
	found := errors.As(p.observe(g, err), &fault) && fault.Fault.Damages()
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
