package projections

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
)

const (
	// lastRecords bounds how long a swap keeps the worker waiting for the last records to reach
	// the builder. If they do not come in time, the worker continues and the swap is retried.
	lastRecords = 10 * time.Millisecond
	// near is the distance, in records, below which a rebuild no longer pauses.
	near = 4 * DefaultMaxBatch
	// restForOthers is how long a rebuild pauses for each read, and for each record that the
	// worker applied, while it worked. It is several times their cost. A node with a thousand
	// of them per second has half of its time for them, and an idle node is rebuilt without
	// pauses.
	restForOthers = time.Millisecond
)

// runRebuild builds a generation, swaps it in, and cleans up.
func (p *Projection) runRebuild(ctx context.Context, r *rebuild) {
	log := p.options.Logger
	log.Info("rebuilding", "position", p.Position(), "from_beginning", r.options.From == nil, "back", r.options.Back)
	old, err := p.rebuildAndSwap(ctx, r)
	if old == nil {
		err = errors.Join(err, p.folder.Tidy()) // before callers learn that it ended
	}
	switch status := r.settle(ctx, old != nil, err); status.State {
	case RebuildDone:
		log.Info("rebuilt", "position", status.Position, "swap_seconds", status.SwapSeconds, "differs", status.Differs, "kept", status.Kept)
	case RebuildCancelled:
		log.Info("the rebuild was cancelled", "position", status.Position)
	default:
		goesOn := "the previous file still serves"
		if _, damage := p.life.Damaged(); damage != nil {
			goesOn = "this node serves nothing because its projection is damaged"
		}
		log.Error("rebuild failed; "+goesOn, "error", status.Error, "position", status.Position)
	}
	if old == nil {
		return
	}
	select {
	case <-old.Free:
	case <-p.closing:
	}
	if err := errors.Join(err, old.Close(), p.folder.Tidy()); err != nil {
		log.Warn("could not clean up after the rebuild", "error", err)
	}
	close(r.cleared)
}

// settle records the outcome.
func (r *rebuild) settle(ctx context.Context, swapped bool, err error) RebuildStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(r.settled)
	if !swapped {
		close(r.cleared)
	}
	now := time.Now().UTC()
	r.status.EndedAt = &now
	r.status.Position = r.progress.Position()
	r.status.End, _, _ = r.progress.Lag()
	switch cause := context.Cause(ctx); {
	case swapped:
		r.status.State = RebuildDone
	case errors.Is(cause, errCancelled), errors.Is(cause, errClosed):
		r.status.State = RebuildCancelled
	case cause != nil:
		r.status.State, r.status.Error = RebuildFailed, cause.Error()
	default:
		r.status.State, r.status.Error = RebuildFailed, err.Error()
	}
	switch r.status.State {
	case RebuildDone:
	case RebuildCancelled:
		r.err = context.Cause(ctx)
	default:
		r.err = errors.Join(context.Cause(ctx), err)
	}
	return r.status
}

// rebuildAndSwap returns the replaced generation, which reads may still hold. It returns nil
// with an error, in which case the old generation continues to serve.
func (p *Projection) rebuildAndSwap(ctx context.Context, r *rebuild) (old *generation.Generation, err error) {
	at := p.mark() // taken before the log is described, so that records applied in between do not look lost
	b, err := newCandidate(ctx, p.folder, p.options, r.options, p.serving.Load().DB.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, b.Stop())
		if old == nil {
			err = errors.Join(err, b.Close())
		}
	}()
	// A log that lost records of this node must not replace the file that may have the only
	// copy.
	if err := errors.Join(p.sameTopic(b.Info), at.CheckLog(ctx, p.options.Log, b.Info)); err != nil {
		return nil, err
	}
	r.progress.Restore(b.Position())
	if err := p.approach(ctx, r, b); err != nil {
		return nil, err
	}
	if err := b.MakeServing(ctx, p.options.Collections, p.options.Logger); err != nil {
		return nil, err
	}
	for old == nil {
		if err := p.approach(ctx, r, b); err != nil {
			return nil, err
		}
		if old, err = p.swap(ctx, r, b); err != nil {
			return nil, err
		}
	}
	// Sync before the old file is removed, so that the links on the disk never name a missing
	// file.
	return old, p.folder.Sync()
}

// newCandidate opens the next generation and starts to read the log. If the generation starts from a
// given file, it gets a copy of the journal of serving, unless that is empty.
func newCandidate(ctx context.Context, f datafolder.Folder, options Options, rebuild RebuildOptions, serving string) (*generation.Builder, error) {
	path, err := f.Candidate(ctx, rebuild.Back, rebuild.From)
	if err != nil {
		return nil, err
	}
	var g *generation.Generation
	if rebuild.From == nil && !rebuild.Back {
		g, err = generation.OpenPrivate(ctx, path, options.Collections, options.ReadModels...)
	} else {
		g, err = generation.Open(ctx, path, options.Collections, options.Logger, options.ReadModels...)
	}
	if err != nil {
		return nil, err
	}
	if rebuild.From != nil && g.Writer.Meta[applier.MetaTopic] == "" {
		return nil, errors.Join(errors.New("the file to start from is not a read model"), g.Close())
	}
	if rebuild.From != nil && serving != "" && options.Journal {
		if err := g.CopyJournal(serving); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	if err := g.KeepJournal(options.Journal, options.Logger); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return generation.NewBuilder(ctx, g, options.Log, options.MaxBatch)
}

// approach applies the log until the builder is where the worker was a moment ago.
func (p *Projection) approach(ctx context.Context, r *rebuild, b *generation.Builder) error {
	for {
		// The file that the builder started from may be ahead of this node.
		_, damage := p.life.Damaged()
		if damage == nil {
			if err := p.WaitFor(ctx, b.Position()); err != nil {
				return err
			}
		}
		before, target := b.Position(), p.Position()
		reads := p.serving.Load().Reads()
		done, err := b.Step(ctx, generation.Bound{Position: target})
		if err != nil {
			return err
		}
		r.progress.Applied(b.Position())
		if done {
			return nil
		}
		others := int64(p.serving.Load().Reads()-reads) + int64(p.Position()-target)
		if damage != nil {
			others = 0 // nothing is served in the meantime
		}
		b.Gentle = r.options.Rate > 0 || time.Duration(others)*restForOthers > b.Spent/generation.FarBatches
		pause := r.rest(b.Position()-before, b.Spent, target-b.Position(), others)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rest returns how long to pause after a batch. others is the amount of other work that the node
// did during the batch.
func (r *rebuild) rest(records events.Position, spent time.Duration, left events.Position, others int64) time.Duration {
	if r.options.Rate > 0 {
		return time.Duration(records)*time.Second/time.Duration(r.options.Rate) - spent
	}
	if left <= near {
		return 0 // with pauses it might never catch up under steady writes
	}
	return min(spent, time.Duration(others)*restForOthers)
}

// swap stops the worker, brings the builder to exactly its position, compares the digests, and
// makes the builder's generation serve. It returns the replaced generation, or nil if the
// records in between have not arrived in time.
//
// A damaged file is replaced by any generation that is at least at its position. What the old file
// served came from the log as well, and the log is authoritative.
func (p *Projection) swap(ctx context.Context, r *rebuild, b *generation.Builder) (old *generation.Generation, err error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	began := time.Now()
	serving := p.serving.Load()
	_, damage := p.life.Damaged()
	at, summaries := p.published()
	if at-b.Position() > events.Position(b.Batch) {
		return nil, nil
	}
	soon, cancel := context.WithTimeout(ctx, lastRecords)
	defer cancel()
	if err := b.Steps(soon, generation.Bound{Position: at}, nil); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil, nil
		}
		return nil, err
	}
	if b.Position() == at {
		differs := digest.Differing(summaries, b.Writer.Summaries())
		r.noteDiffers(differs)
		if len(differs) > 0 && !r.options.Force && damage == nil {
			return nil, &DigestsDifferError{At: at, Collections: differs}
		}
	}
	if p.life.EverCaughtUp() {
		if err := b.Writer.SetMeta(ctx, applier.MetaCaughtUp, "1"); err != nil {
			return nil, fmt.Errorf("record in %s that it has caught up: %w", b.DB.Path, err)
		}
	}
	kept, err := p.putInPlace(serving.DB.Path, b.DB.Path, r, damage != nil)
	if err != nil {
		return nil, err
	}
	p.serve(b.Generation)
	serving.Release()
	p.summarize(b.Writer)
	r.noteSwap(b.Position(), time.Since(began), kept)
	if damage != nil {
		p.noteRepaired(b.Position(), kept, r)
	}
	return serving, nil
}

// putInPlace points the links of the folder to the new file. It returns the path of the
// replaced file if it is kept.
func (p *Projection) putInPlace(serving, path string, r *rebuild, damaged bool) (kept string, err error) {
	if damaged {
		if kept, err = p.folder.SetAside(serving, time.Now()); err != nil {
			return "", err
		}
		return kept, p.folder.Replace(serving, path, false)
	}
	r.mu.Lock()
	keep := r.options.keeps(len(r.status.Differs) == 0)
	r.mu.Unlock()
	if keep {
		kept = serving
	}
	return kept, p.folder.Replace(serving, path, keep)
}

// noteRepaired returns the projection to service. The worker is stopped until then, so nothing
// else moves the position.
func (p *Projection) noteRepaired(at events.Position, kept string, r *rebuild) {
	p.progress.Applied(at)
	p.progress.Restart()
	p.waiters.Resume()
	p.waiters.Advance(at)
	p.storage.noteRepair(true)
	p.life.Repair()
	r.mu.Lock()
	defer r.mu.Unlock()
	p.options.Logger.Info("the projection was repaired", "position", at, "damaged_file", kept, "differed", r.status.Differs)
}

// keeps reports whether the replaced file is kept. A file that was not proved equal is never
// removed, unless it was built from the log and can be built again.
func (o RebuildOptions) keeps(equal bool) bool { return o.Keep || !equal && !o.Back }

func (r *rebuild) noteDiffers(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Differs = names
}

func (r *rebuild) noteSwap(at events.Position, took time.Duration, kept string) {
	r.progress.Applied(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.SwapSeconds = took.Seconds()
	if kept != "" {
		r.status.Kept = filepath.Base(kept)
	}
}
