package projections

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/offline"
)

// Rebuilt is a stopped node's projection that was built anew.
type Rebuilt struct {
	offline.Built
	// Incomparable says why the old file's digests could not be compared with the new
	// one's; nil if they were.
	Incomparable error
	// Differs names the collections whose digests were not the same in both files.
	Differs []string
	// Kept is the path of the file that was replaced and kept, or empty.
	Kept string
	// Missing is how many living entities of each collection the old file has and the new
	// one lacks; nil if none.
	Missing map[string]int64
}

// RebuildDir builds the projection of a node that doesn't run, up to the end of the log,
// and puts it in the place of the old one: also if that can't be opened, is of another
// topic, or is ahead of the log. If the two can be compared and differ it returns an
// [DigestsDifferError], unless forced. If entities of the old file would be lost it returns a
// [datafolder.LossError], unless forced. An old file that was not proved equal is kept. The caller
// holds the folder's lock. Whenever it ends, by an error, by ctx or by a crash, either
// the old or the new one is in place. told, if not nil, is called after each batch.
func RebuildDir(ctx context.Context, options Options, rebuild RebuildOptions, told func(at, end events.Position)) (done Rebuilt, err error) {
	if err := rebuild.Validate(); err != nil {
		return Rebuilt{}, err
	}
	options = options.withDefaults()
	f := datafolder.Folder{Dir: options.Dir}
	serving, err := f.Open()
	if err != nil {
		return Rebuilt{}, err
	}
	defer func() { err = errors.Join(err, f.Tidy()) }()
	b, err := newCandidate(ctx, f, options, rebuild)
	if err != nil {
		return Rebuilt{}, err
	}
	done, err = applyAndCompare(ctx, b, serving, options, rebuild, told)
	if err = errors.Join(err, b.Stop(), b.Close()); err != nil {
		return Rebuilt{}, err
	}
	equal := done.Incomparable == nil && len(done.Differs) == 0
	keep, lost, err := f.Keeping(ctx, serving, b.DB.Path, equal, rebuild.keeps(equal), rebuild.Force)
	if err != nil {
		return Rebuilt{}, err
	}
	if lost != nil {
		done.Missing = lost.Missing
	}
	if err := f.Replace(serving, b.DB.Path, keep); err != nil {
		return Rebuilt{}, err
	}
	if keep {
		done.Kept = serving
	}
	return done, f.Sync()
}

// applyAndCompare applies the log, first up to where the old file is, and compares.
func applyAndCompare(ctx context.Context, b *generation.Builder, serving string, options Options, rebuild RebuildOptions, told func(at, end events.Position)) (done Rebuilt, err error) {
	end := b.Info.End
	var old offline.Built
	if old, done.Incomparable = comparableWith(ctx, b, serving, options); done.Incomparable == nil {
		if err := b.Steps(ctx, generation.Bound{Position: old.Position}, func(at, _ events.Position) {
			if told != nil {
				told(at, end)
			}
		}); err != nil {
			return Rebuilt{}, err
		}
		done.Differs = digest.Differing(old.Collections, b.Writer.Summaries())
		if len(done.Differs) > 0 && !rebuild.Force {
			return Rebuilt{}, &DigestsDifferError{At: old.Position, Collections: done.Differs}
		}
	}
	if err := b.Steps(ctx, generation.Bound{Position: end}, told); err != nil {
		return Rebuilt{}, err
	}
	if err := b.MakeServing(ctx, options.Collections, options.Logger); err != nil {
		return Rebuilt{}, err
	}
	done.Built = offline.BuiltBy(b.Writer)
	return done, nil
}

// comparableWith tells what the old file holds, or why that says nothing of what the log
// gives. It changes nothing in the file.
func comparableWith(ctx context.Context, b *generation.Builder, serving string, options Options) (old offline.Built, err error) {
	old, err = offline.InspectInPlace(ctx, serving, "rw") // whoever reads a file in WAL mode has to write its index
	if errors.Is(err, fs.ErrNotExist) {
		return offline.Built{}, nil // a new folder
	}
	if err != nil {
		return offline.Built{}, err
	}
	if err := continuity.SameTopic(old.Topic, old.TopicID, options.Log.Topic(), b.Info.ID); err != nil {
		return offline.Built{}, err
	}
	if err := old.GoesOn(ctx, options.Log, b.Info); err != nil {
		return offline.Built{}, err
	}
	if old.Position < b.Position() {
		return offline.Built{}, errors.New("the old file " + filepath.Base(serving) + " is behind the snapshot that the rebuild started from")
	}
	return old, nil
}
