package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// guardEvery is how often the files and the read path are looked at.
	guardEvery = time.Second
	// probeTimeout is how long two small reads may take before the read path counts as stuck.
	// It is longer than they wait for their connections.
	probeTimeout = 2*readPatience + 4*time.Second
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
		defer g.release()
		if fault := g.replaced(); fault != nil {
			p.suffer(g, fault)
		}
		p.observeCheckpoints(g)
	})
}

// observeCheckpoints hands in the failure of a checkpoint in the background. One that does
// not damage the file costs no commit until the WAL has to be cut: then batches fail too.
func (p *Projection) observeCheckpoints(g *generation) {
	err := p.observe(g, g.db.wal.failed())
	if err == nil {
		p.checkpointing.end()
		return
	}
	if fault := (*StorageError)(nil); errors.As(err, &fault) && fault.Fault.damages() {
		return // it is logged
	}
	if lasts, due := p.checkpointing.due(err, time.Now()); due {
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
	err := p.read(ctx, func(r *reader) error {
		var at int64
		return r.GetContext(ctx, &at, `SELECT position FROM _checkpoint`)
	})
	if err == nil {
		var s *Snapshot
		if s, err = p.Snapshot(ctx); err == nil {
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
	switch was := p.life.probed(err); {
	case err != nil && was == nil:
		p.options.Logger.Error("reads of the projection hang; this node is not ready", "error", err)
	case err == nil && was != nil:
		p.options.Logger.Info("reads of the projection work again")
	}
}

// A heldFile is a file as it was when it was opened.
type heldFile struct {
	path string
	info fs.FileInfo
}

// holdFiles notes the files of a database that is open in WAL mode.
func holdFiles(path string) (files []heldFile, err error) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			return nil, fmt.Errorf("check the projection's files: %w", err)
		}
		files = append(files, heldFile{path + suffix, info})
	}
	return files, nil
}

// replaced tells whether one of the generation's files is not there any more, or another
// one is in its place.
func (g *generation) replaced() *StorageError {
	for _, f := range g.files {
		now, err := os.Stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%s was deleted while the node had it open", filepath.Base(f.path))
		case err != nil:
			return &StorageError{Fault: FaultIO, Path: g.db.path, Err: err}
		case os.SameFile(f.info, now):
			continue
		default:
			err = fmt.Errorf("%s was replaced by another file while the node had it open", filepath.Base(f.path))
		}
		return &StorageError{Fault: FaultReplaced, Path: g.db.path, Err: err}
	}
	return nil
}
