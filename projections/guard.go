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
	// guardEvery is how often the files and the read path are looked at.
	guardEvery = time.Second
	// probeTimeout is how long two small reads may take before the read path counts as stuck.
	// It is longer than they wait for their connections.
	probeTimeout = 2*sqlite.ReadPatience + 4*time.Second
)

// A ReadPathError says that a small read of the projection, made to try out the path that
// requests take, failed or does not end.
type ReadPathError struct{ Err error }

// Error says why.
func (e *ReadPathError) Error() string { return fmt.Sprintf("the projection can't be read: %v", e.Err) }

// Unwrap gives the cause.
func (e *ReadPathError) Unwrap() error { return e.Err }

// startGuards starts what looks after the storage while the projection runs. stop ends it
// and waits for it.
func (p *Projection) startGuards(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var guards sync.WaitGroup
	guards.Go(func() { p.guardFiles(ctx) })
	guards.Go(func() { p.guardReads(ctx) })
	if p.options.ScrubInterval > 0 {
		guards.Go(func() { p.scrubs(ctx) })
	}
	return func() { cancel(); guards.Wait() }
}

// every calls do at once, and again with a pause between until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	for ctx.Err() == nil {
		do()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// guardFiles looks whether the files of the generation that serves are still those that it
// opened. To read and write goes on working for a while if they are not, on files that no
// other connection sees.
func (p *Projection) guardFiles(ctx context.Context) {
	every(ctx, guardEvery, func() {
		g := p.hold()
		defer g.Release()
		if fault := g.Replaced(); fault != nil {
			p.suffer(g, fault)
		}
		p.observeCheckpoints(g)
	})
}

// observeCheckpoints hands in the failure of a checkpoint in the background. One that does
// not damage the file costs no commit until the WAL has to be cut: then batches fail too.
func (p *Projection) observeCheckpoints(g *generation.Generation) {
	err := p.observe(g, g.DB.WAL.Failed())
	if err == nil {
		p.checkpointing.End()
		return
	}
	if fault := (*storagefault.Error)(nil); errors.As(err, &fault) && fault.Fault.Damages() {
		return // it is logged
	}
	if lasts, due := p.checkpointing.Due(err, time.Now()); due {
		p.options.Logger.Warn("can't copy the write-ahead log into the projection's file; retrying every second. Nothing is lost, but the write-ahead log grows meanwhile", "error", err, "for", lasts)
	}
}

// guardReads makes a small read on the path that requests take, so that the node does not
// say that it is ready while no read comes through. One that hangs is not followed by
// another.
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
			p.noteProbe(ctx, <-ended) // its own deadline has passed: it ends, unless the disk hangs
		}
	})
}

// probe reads the checkpoint as a request reads an entity, and as one reads a list.
func (p *Projection) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := p.read(ctx, func(r *sqlite.Conn) error {
		var at int64
		return r.GetContext(ctx, &at, `SELECT position FROM _checkpoint`)
	})
	if err == nil {
		var s *reads.Tx
		if s, err = p.BeginRead(ctx); err == nil {
			err = s.Close()
		}
	}
	if err == nil || errors.Is(err, ErrOverloaded) {
		return nil // whether that lasts, the connections know: see starved
	}
	return &ReadPathError{err}
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

// stuckAfter is how long no read may get a connection before the node is unready. Reads
// that only take long free their connections one after the other.
const stuckAfter = 15 * time.Second

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
		if _, damage := p.life.Damaged(); damage != nil || !p.scrub(ctx) {
			pause = min(scrubFirst, pause) // the next time
		}
	}
}

// scrub reads the file of the generation that serves once and reports what it finds. It
// returns false if something kept it from that.
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
