package projections

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
)

// Rebuilt is a stopped node's projection that was built anew.
type Rebuilt struct {
	Built
	// Incomparable says why the old file's digests could not be compared with the new
	// one's; nil if they were.
	Incomparable error
	// Differs names the collections whose digests were not the same in both files.
	Differs []string
	// Kept is the path of the file that was replaced and kept, or empty.
	Kept string
}

// RebuildDir builds the projection of a node that doesn't run, up to the end of the log,
// and puts it in the place of the old one: also if that can't be opened, is of another
// topic, or is ahead of the log. If the two can be compared and differ it returns an
// [ErrDiffers], unless forced. An old file that was not proved equal is kept. The caller
// holds the folder's lock. Whenever it ends, by an error, by ctx or by a crash, either
// the old or the new one is in place. told, if not nil, is called after each batch.
func RebuildDir(ctx context.Context, options Options, rebuild RebuildOptions, told func(at, end events.Position)) (done Rebuilt, err error) {
	if err := rebuild.Validate(); err != nil {
		return Rebuilt{}, err
	}
	options = options.withDefaults()
	f := folder{options.Dir}
	serving, err := f.open()
	if err != nil {
		return Rebuilt{}, err
	}
	defer func() { err = errors.Join(err, f.tidy()) }()
	b, err := newCandidate(ctx, f, options, rebuild)
	if err != nil {
		return Rebuilt{}, err
	}
	done, err = b.rebuildDir(ctx, serving, options, rebuild, told)
	if err = errors.Join(err, b.stop(), b.close()); err != nil {
		return Rebuilt{}, err
	}
	keep := rebuild.keeps(done.Incomparable == nil && len(done.Differs) == 0)
	if err := f.replace(serving, b.db.path, keep); err != nil {
		return Rebuilt{}, err
	}
	if keep {
		done.Kept = serving
	}
	return done, f.sync()
}

// rebuildDir applies the log, first up to where the old file is, and compares.
func (b *builder) rebuildDir(ctx context.Context, serving string, options Options, rebuild RebuildOptions, told func(at, end events.Position)) (done Rebuilt, err error) {
	end := b.info.End
	var old Built
	if old, done.Incomparable = b.comparable(ctx, serving, options); done.Incomparable == nil {
		if err := b.steps(ctx, bound{position: old.Position}, func(at, _ events.Position) {
			if told != nil {
				told(at, end)
			}
		}); err != nil {
			return Rebuilt{}, err
		}
		done.Differs = differing(old.Collections, b.writer.summaries())
		if len(done.Differs) > 0 && !rebuild.Force {
			return Rebuilt{}, &ErrDiffers{At: old.Position, Collections: done.Differs}
		}
	}
	if err := b.steps(ctx, bound{position: end}, told); err != nil {
		return Rebuilt{}, err
	}
	done.Built = b.writer.built()
	return done, nil
}

// comparable opens the old file and tells what it holds, or why that says nothing of
// what the log gives.
func (b *builder) comparable(ctx context.Context, serving string, options Options) (old Built, err error) {
	undeclared := new(collections.Set) // the old file keeps its columns
	g, err := openGeneration(ctx, serving, undeclared, options.Logger)
	if err != nil {
		return Built{}, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.writer.sameTopic(options.Log.Topic(), b.info.ID); err != nil {
		return Built{}, err
	}
	if err := g.writer.mark().goesOn(ctx, options.Log, b.info); err != nil {
		return Built{}, err
	}
	if g.writer.position < b.position() {
		return Built{}, errors.New("the old file " + filepath.Base(serving) + " is behind the one that was started from")
	}
	return g.writer.built(), nil
}
