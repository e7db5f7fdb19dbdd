package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

const (
	// lastRecords bounds how long a swap keeps the worker waiting for the last records
	// to come to the builder. If they don't, the worker goes on and the swap is tried
	// again.
	lastRecords = 10 * time.Millisecond
	// near is how far behind a rebuild stops to rest.
	near = 4 * DefaultMaxBatch
	// restForOthers is how long a rebuild rests for each read, and each record that the
	// worker applied, while it worked. It is several times what these cost, so a node with
	// a thousand of them a second has half of its time without the rebuild, and an idle node
	// is rebuilt without rest.
	restForOthers = time.Millisecond
)

// runRebuild builds a generation, swaps, and tidies up.
func (p *Projection) runRebuild(ctx context.Context, r *rebuild) {
	log := p.options.Logger
	log.Info("rebuilding", "position", p.Position(), "from_beginning", r.options.From == nil, "back", r.options.Back)
	old, err := p.rebuildAndSwap(ctx, r)
	if old == nil {
		err = errors.Join(err, p.folder.tidy()) // before anybody hears that it ended
	}
	switch status := r.settle(ctx, old != nil, err); status.State {
	case RebuildDone:
		log.Info("rebuilt", "position", status.Position, "swap_seconds", status.SwapSeconds, "differs", status.Differs, "kept", status.Kept)
	case RebuildCancelled:
		log.Info("the rebuild was cancelled", "position", status.Position)
	default:
		goesOn := "the previous file still serves"
		if _, damage := p.life.damaged(); damage != nil {
			goesOn = "this node serves nothing because its projection is damaged"
		}
		log.Error("rebuild failed; "+goesOn, "error", status.Error, "position", status.Position)
	}
	if old == nil {
		return
	}
	select {
	case <-old.free:
	case <-p.closing:
	}
	if err := errors.Join(err, old.close(), p.folder.tidy()); err != nil {
		log.Warn("could not clean up after the rebuild", "error", err)
	}
	close(r.cleared)
}

// settle notes the outcome.
func (r *rebuild) settle(ctx context.Context, swapped bool, err error) RebuildStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(r.settled)
	if !swapped {
		close(r.cleared)
	}
	now := time.Now().UTC()
	r.status.EndedAt = &now
	r.status.Position = r.progress.position()
	r.status.End, _, _ = r.progress.lag()
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

// rebuildAndSwap returns the generation that was replaced, which reads may still hold;
// nil if there is an error and the old one serves on.
func (p *Projection) rebuildAndSwap(ctx context.Context, r *rebuild) (old *generation, err error) {
	at := p.mark() // before the log is described: what is applied in between is no loss of it
	b, err := newCandidate(ctx, p.folder, p.options, r.options)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, b.stop())
		if old == nil {
			err = errors.Join(err, b.close())
		}
	}()
	// A log that lost what this node had applied must not take the place of the file that
	// may have the only copy.
	if err := errors.Join(p.sameTopic(b.info), at.goesOn(ctx, p.options.Log, b.info)); err != nil {
		return nil, err
	}
	r.progress.restore(b.position())
	if err := p.approach(ctx, r, b); err != nil {
		return nil, err
	}
	if err := b.makeServing(ctx, p.options.Collections, p.options.Logger); err != nil {
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
	// Before the old file goes: the links that are on the disk must name one that is.
	return old, p.folder.sync()
}

// newCandidate opens the generation that is to be the next and starts to read the log.
func newCandidate(ctx context.Context, f folder, options Options, rebuild RebuildOptions) (*builder, error) {
	path, err := f.candidate(ctx, rebuild.Back, rebuild.From)
	if err != nil {
		return nil, err
	}
	var g *generation
	if rebuild.From == nil && !rebuild.Back {
		g, err = openPrivate(ctx, path, options.Collections)
	} else {
		g, err = openGeneration(ctx, path, options.Collections, options.Logger)
	}
	if err != nil {
		return nil, err
	}
	if rebuild.From != nil && g.writer.meta[metaTopic] == "" {
		return nil, errors.Join(errors.New("the file to start from is not a read model"), g.close())
	}
	return newBuilder(ctx, g, options.Log, options.MaxBatch)
}

// sameTopic returns a [RefusedError] if what serves was built from another topic.
func (p *Projection) sameTopic(info eventlog.Info) error {
	p.applying.Lock() // bind may be under way
	defer p.applying.Unlock()
	return p.serving.Load().writer.sameTopic(p.options.Log.Topic(), info.ID) // from memory
}

// approach applies the log until the builder is where the worker was a moment ago.
func (p *Projection) approach(ctx context.Context, r *rebuild, b *builder) error {
	for {
		// What it started from may be ahead of this node.
		_, damage := p.life.damaged()
		if damage == nil {
			if err := p.WaitFor(ctx, b.position()); err != nil {
				return err
			}
		}
		before, target := b.position(), p.Position()
		reads := p.serving.Load().reads()
		done, err := b.step(ctx, bound{position: target})
		if err != nil {
			return err
		}
		r.progress.applied(b.position())
		if done {
			return nil
		}
		others := int64(p.serving.Load().reads()-reads) + int64(p.Position()-target)
		if damage != nil {
			others = 0 // no one is served meanwhile
		}
		b.gentle = r.options.Rate > 0 || time.Duration(others)*restForOthers > b.spent/farBatches
		pause := r.rest(b.position()-before, b.spent, target-b.position(), others)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rest tells how long to leave the machine to others after a batch. others is how much they
// have asked of the node meanwhile.
func (r *rebuild) rest(records events.Position, spent time.Duration, left events.Position, others int64) time.Duration {
	if r.options.Rate > 0 {
		return time.Duration(records)*time.Second/time.Duration(r.options.Rate) - spent
	}
	if left <= near {
		return 0 // or it would never be there while much is written
	}
	return min(spent, time.Duration(others)*restForOthers)
}

// makeServing has the generation be one that can serve, on the disk.
func (b *builder) makeServing(ctx context.Context, declared *collections.Set, logger *slog.Logger) error {
	if b.db.wal == nil {
		return b.publish(ctx, declared, logger)
	}
	return b.persist()
}

// persist has the rows reach the disk, so that little is left to do in the swap, and a
// power cut after it finds them.
func (b *builder) persist() error {
	if _, err := b.writer.conn.ExecContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return fmt.Errorf("sync %s: %w", b.db.path, err)
	}
	return nil
}

// swap stops the worker, brings the builder to exactly where it is, compares, and has
// the builder's generation serve. It returns the one that served; nil if the records in
// between have not come in time.
//
// In place of a damaged file it takes any that is at least as far: what was served before
// came from the log as well, and the log is right.
func (p *Projection) swap(ctx context.Context, r *rebuild, b *builder) (old *generation, err error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	began := time.Now()
	serving := p.serving.Load()
	_, damage := p.life.damaged()
	at, summaries := p.published()
	if at-b.position() > events.Position(b.batch) {
		return nil, nil
	}
	soon, cancel := context.WithTimeout(ctx, lastRecords)
	defer cancel()
	if err := b.steps(soon, bound{position: at}, nil); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil, nil
		}
		return nil, err
	}
	if b.position() == at {
		differs := differing(summaries, b.writer.summaries())
		r.noteDiffers(differs)
		if len(differs) > 0 && !r.options.Force && damage == nil {
			return nil, &DigestsDifferError{At: at, Collections: differs}
		}
	}
	if p.hadCaughtUp.Load() {
		if err := b.writer.remark(ctx, metaCaughtUp, "1"); err != nil {
			return nil, fmt.Errorf("record in %s that it has caught up: %w", b.db.path, err)
		}
	}
	kept, err := p.putInPlace(serving.db.path, b.db.path, r, damage != nil)
	if err != nil {
		return nil, err
	}
	p.serve(b.generation)
	serving.release()
	p.summarize(b.writer)
	r.noteSwap(b.position(), time.Since(began), kept)
	if damage != nil {
		p.noteRepaired(b.position(), kept, r)
	}
	return serving, nil
}

// putInPlace has the links of the folder name another file than the one that serves, and
// gives the path of that one if it is kept.
func (p *Projection) putInPlace(serving, path string, r *rebuild, damaged bool) (kept string, err error) {
	if damaged {
		if kept, err = p.folder.setAside(serving, time.Now()); err != nil {
			return "", err
		}
		return kept, p.folder.replace(serving, path, false)
	}
	r.mu.Lock()
	keep := r.options.keeps(len(r.status.Differs) == 0)
	r.mu.Unlock()
	if keep {
		kept = serving
	}
	return kept, p.folder.replace(serving, path, keep)
}

// noteRepaired brings the projection back into service. The worker does not run until it
// has, so nothing else moves the position.
func (p *Projection) noteRepaired(at events.Position, kept string, r *rebuild) {
	p.progress.applied(at)
	p.progress.restart()
	p.waiters.resume()
	p.waiters.advance(at)
	p.storage.noteRepair(true)
	p.life.repair()
	r.mu.Lock()
	defer r.mu.Unlock()
	p.options.Logger.Info("the projection was repaired", "position", at, "damaged_file", kept, "differed", r.status.Differs)
}

// keeps tells whether the file that is replaced is kept. One that was not proved equal
// is never removed, unless it was built from the log and can be again.
func (o RebuildOptions) keeps(equal bool) bool { return o.Keep || !equal && !o.Back }

func (r *rebuild) noteDiffers(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Differs = names
}

func (r *rebuild) noteSwap(at events.Position, took time.Duration, kept string) {
	r.progress.applied(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.SwapSeconds = took.Seconds()
	if kept != "" {
		r.status.Kept = filepath.Base(kept)
	}
}
