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

// Rebuilt is the rebuilt projection of a stopped node.
type Rebuilt struct {
	offline.Built
	// Incomparable is the reason why the digests of the old and the new file could not be
	// compared. It is nil if they were.
	Incomparable error
	// Differs names the collections whose digests differed between the two files.
	Differs []string
	// Kept is the path of the replaced file if it was kept, and empty otherwise.
	Kept string
	// Missing counts, by collection, the living entities of the old file that the new one
	// lacks. It is nil if none is missing.
	Missing map[string]int64
}

// RebuildDir rebuilds the projection of a stopped node from the log, up to its end, and
// replaces the old file. It also replaces a file that can't be opened, was built from another
// topic, or is ahead of the log. It returns a [DigestsDifferError] if the files can be compared
// and differ, and a [datafolder.LossError] if entities of the old file would be lost, unless
// forced. An old file that was not proved equal is kept. The caller holds the folder's lock.
// After an error, a cancellation or a crash, either the old or the new file is in place.
// progress, if not nil, is called after each batch.
func RebuildDir(ctx context.Context, options Options, rebuild RebuildOptions, progress func(at, end events.Position)) (done Rebuilt, err error) {
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
	b, err := newCandidate(ctx, f, options, rebuild, "")
	if err != nil {
		return Rebuilt{}, err
	}
	done, err = applyAndCompare(ctx, b, serving, options, rebuild, progress)
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

// applyAndCompare applies the log up to the position of the old file, compares, and applies the
// rest.
func applyAndCompare(ctx context.Context, b *generation.Builder, serving string, options Options, rebuild RebuildOptions, progress func(at, end events.Position)) (done Rebuilt, err error) {
	end := b.Info.End
	var old offline.Built
	if old, done.Incomparable = comparableWith(ctx, b, serving, options); done.Incomparable == nil {
		if err := b.Steps(ctx, generation.Bound{Position: old.Position}, func(at, _ events.Position) {
			if progress != nil {
				progress(at, end)
			}
		}); err != nil {
			return Rebuilt{}, err
		}
		done.Differs = digest.Differing(old.Collections, b.Writer.Summaries())
		if len(done.Differs) > 0 && !rebuild.Force {
			return Rebuilt{}, &DigestsDifferError{At: old.Position, Collections: done.Differs}
		}
	}
	if err := b.Steps(ctx, generation.Bound{Position: end}, progress); err != nil {
		return Rebuilt{}, err
	}
	if err := b.MakeServing(ctx, options.Collections, options.Logger); err != nil {
		return Rebuilt{}, err
	}
	done.Built = offline.BuiltBy(b.Writer)
	return done, nil
}

// comparableWith returns what the old file holds, or the reason why it can't be compared with
// what the log gives. It does not change the file.
func comparableWith(ctx context.Context, b *generation.Builder, serving string, options Options) (old offline.Built, err error) {
	old, err = offline.InspectInPlace(ctx, serving, "rw") // a reader of a file in WAL mode writes its index
	if errors.Is(err, fs.ErrNotExist) {
		return offline.Built{}, nil // a new folder
	}
	if err != nil {
		return offline.Built{}, err
	}
	if err := continuity.SameTopic(old.Topic, old.TopicID, options.Log.Topic(), b.Info.ID); err != nil {
		return offline.Built{}, err
	}
	if err := old.CheckLog(ctx, options.Log, b.Info); err != nil {
		return offline.Built{}, err
	}
	if old.Position < b.Position() {
		return offline.Built{}, errors.New("the old file " + filepath.Base(serving) + " is behind the snapshot that the rebuild started from")
	}
	return old, nil
}
