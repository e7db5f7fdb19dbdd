package projections_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

func (r *rig) rebuildDir(log *eventlog.Log, dir string, o projections.RebuildOptions) (projections.Rebuilt, error) {
	r.t.Helper()
	return projections.RebuildDir(deadline(r.t), projections.Options{Dir: dir, Log: log, Collections: usersOnly(r.t)}, o, nil)
}

// stopped returns the folder of a stopped node that has applied the log, and its position.
func (r *rig) stopped() (dir string, end events.Position) {
	r.t.Helper()
	_, end = r.many(5)
	dir = r.t.TempDir()
	if err := r.node(dir, 0).at(end).close(); err != nil {
		r.t.Fatal(err)
	}
	return dir, end
}

// starts checks that a node starts on the folder and reaches the digest that the log gives.
func (r *rig) starts(log *eventlog.Log, dir string) {
	r.t.Helper()
	end, err := log.End(deadline(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	built, err := offline.Build(deadline(r.t), offline.BuildOptions{Path: filepath.Join(r.t.TempDir(), "out.db"), Log: log, Collections: usersOnly(r.t)})
	if err != nil {
		r.t.Fatal(err)
	}
	n := r.nodeOn(log, dir, 0).at(end)
	if got, want := n.digest(), built.Collections["users"].Digest.String(); got != want && end > 0 {
		r.t.Errorf("got digest %s, want %s", got, want)
	}
	if err := n.close(); err != nil {
		r.t.Error(err)
	}
}

func TestAStoppedNodeIsRebuilt(t *testing.T) {
	r := newRig(t)
	dir, old := r.stopped()
	_, end := r.many(2)
	var reported []events.Position
	done, err := projections.RebuildDir(deadline(t), projections.Options{Dir: dir, Log: r.log, Collections: usersOnly(t), MaxBatch: 4}, projections.RebuildOptions{}, func(at, of events.Position) {
		reported = append(reported, at)
		if of != end {
			t.Errorf("got progress %d of %d, want %d as the end", at, of, end)
		}
	})
	if err != nil || done.Position != end || done.Incomparable != nil || done.Kept != "" || len(done.Differs) > 0 {
		t.Errorf("got %+v, %v, want position %d and no difference", done, err, end)
	}
	if !slices.IsSorted(reported) || !slices.Contains(reported, old) || reported[len(reported)-1] != end {
		t.Errorf("got progress %v, want it ascending, through %d to %d", reported, old, end)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"projection.2.db", "projection.db"}) {
		t.Errorf("got files %v, want projection.2.db and its link projection.db", got)
	}
	r.starts(r.log, dir)
}

func TestANodeThatRefusesToStartIsRebuilt(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, r *rig, dir string) *eventlog.Log{
		"other schema": func(t *testing.T, r *rig, dir string) *eventlog.Log { setVersion(t, dir, 99); return r.log },
		"ahead":        func(t *testing.T, r *rig, dir string) *eventlog.Log { setPosition(t, dir, 1000); return r.log },
		"no database": func(t *testing.T, r *rig, dir string) *eventlog.Log {
			if err := os.WriteFile(filepath.Join(dir, datafolder.FileName), []byte("this is not a database, it is a text"), 0o600); err != nil {
				t.Fatal(err)
			}
			return r.log
		},
		"other topic": func(t *testing.T, r *rig, _ string) *eventlog.Log {
			other := r.open("other.events")
			if _, err := other.Prepare(deadline(t)); err != nil {
				t.Fatal(err)
			}
			return other
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			dir, _ := r.stopped()
			log := spoil(t, r, dir)
			var lost *datafolder.LossError
			done, err := r.rebuildDir(log, dir, projections.RebuildOptions{})
			if empty := name == "other topic"; empty != errors.As(err, &lost) {
				t.Fatalf("got %v, want a LossError: %v", err, empty)
			} else if empty {
				done, err = r.rebuildDir(log, dir, projections.RebuildOptions{Force: true})
			}
			if err != nil || done.Incomparable == nil || filepath.Base(done.Kept) != "projection.1.db" {
				t.Fatalf("got %+v, %v, want projection.1.db kept, and the reason why it cannot be compared", done, err)
			}
			want := []string{"projection.1.db", "projection.2.db", "projection.db", "projection.previous.db"}
			if got := files(t, dir); !slices.Equal(got, want) {
				t.Errorf("got files %v, want %v", got, want)
			}
			r.starts(log, dir)
		})
	}
}

func TestAStoppedNodeThatDiffers(t *testing.T) {
	r := newRig(t)
	dir, end := r.stopped()
	tamper(t, dir, `UPDATE _digests SET digest = zeroblob(32)`)
	_, err := r.rebuildDir(r.log, dir, projections.RebuildOptions{})
	var differs *projections.DigestsDifferError
	if !errors.As(err, &differs) || differs.At != end || !slices.Equal(differs.Collections, []string{"users"}) {
		t.Errorf("got %v, want a DigestsDifferError of users at position %d", err, end)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"projection.1.db", "projection.db"}) {
		t.Errorf("got files %v, want projection.1.db and its link projection.db", got)
	}
	done, err := r.rebuildDir(r.log, dir, projections.RebuildOptions{Force: true})
	if err != nil || !slices.Equal(done.Differs, []string{"users"}) || done.Kept == "" {
		t.Errorf("got %+v, %v, want users reported as different, and the old file kept", done, err)
	}
	r.starts(r.log, dir)
}

func TestAStoppedNodeStartsFromAFile(t *testing.T) {
	r := newRig(t)
	dir, _ := r.stopped()
	_, half := r.many(1)
	file := filepath.Join(t.TempDir(), "half.db")
	if _, err := r.build(file, offline.UntilPosition(half)); err != nil {
		t.Fatal(err)
	}
	_, end := r.many(1)
	done, err := r.rebuildDir(r.log, dir, projections.RebuildOptions{From: offline.FromFile(file)})
	// The node's file is at an earlier position than the file that the rebuild starts from.
	if err != nil || done.Position != end || done.Incomparable == nil || done.Kept == "" {
		t.Errorf("got %+v, %v, want position %d, the old file kept, and the reason why it cannot be compared", done, err, end)
	}
	done, err = r.rebuildDir(r.log, dir, projections.RebuildOptions{From: offline.FromFile(file)})
	if err != nil || done.Incomparable != nil {
		t.Errorf("got %+v, %v, want files that can be compared", done, err)
	}
	r.starts(r.log, dir)
}

func TestAStoppedNodeIsLeftAsItWas(t *testing.T) {
	r := newRig(t)
	dir, _ := r.stopped()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := projections.RebuildDir(ctx, projections.Options{Dir: dir, Log: r.log, Collections: usersOnly(t), MaxBatch: 1}, projections.RebuildOptions{}, func(events.Position, events.Position) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want %v", err, context.Canceled)
	}
	if _, err := r.rebuildDir(r.log, dir, projections.RebuildOptions{Back: true}); !errors.Is(err, datafolder.ErrNothingKept) {
		t.Errorf("back to nothing: got %v, want %v", err, datafolder.ErrNothingKept)
	}
	r.append(user(uuid.NewString(), "Eve", ""))
	r.produceFormat("3")
	var refused *refusal.Error
	if _, err := r.rebuildDir(r.log, dir, projections.RebuildOptions{}); !errors.As(err, &refused) || refused.Reason != refusal.Format {
		t.Errorf("a newer format: got %v, want a refusal (%s)", err, refusal.Format)
	}
	r.broker.Close()
	if _, err := r.rebuildDir(r.log, dir, projections.RebuildOptions{}); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("no broker: got %v, want %v", err, eventlog.ErrUnreachable)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"projection.1.db", "projection.db"}) {
		t.Errorf("got files %v, want projection.1.db and its link projection.db", got)
	}
}
