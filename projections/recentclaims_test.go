package projections

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// Whatever the batches, failures and restarts, the holder of each claim is that of admission in its
// simplest form, and the recent claims stay few.
func TestRecentClaimsAreThoseOfAdmission(t *testing.T) {
	for seed, c := range []struct{ keep, atOnce int }{{0, 1}, {1, 1}, {10, 3}, {50, 16}, {200, 32}, {applier.MaxRecentClaims, 32}} {
		t.Run(fmt.Sprintf("%d claims", c.keep), func(t *testing.T) {
			f := newFile(t)
			p := &Projection{options: Options{}.withDefaults(), closing: make(chan struct{})}
			p.options.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
			p.serve(generation.New(f.db, f.w))
			t.Cleanup(p.rebuilds.Wait)
			f.w.Recent.Keep(c.keep, c.atOnce)
			random := rand.New(rand.NewPCG(3, uint64(seed)))
			model := events.NewMemory()
			const largest = 60
			for left := contendedRecords(random, 20_000); len(left) > 0; {
				n := min(1+random.IntN(largest), len(left))
				switch random.IntN(30) {
				case 0:
					f.forget()
				case 1:
					f.failing(left[:n])
				}
				f.apply(left[:n]...)
				for _, r := range left[:n] {
					if _, err := model.Take(r); err != nil {
						t.Fatal(err)
					}
				}
				left = left[n:]
				if random.IntN(20) > 0 && len(left) > 0 {
					continue
				}
				for i := range 300 {
					claim := fmt.Sprint("email:", i)
					want := model.Claims[events.ClaimKey{Collection: "users", Claim: claim}]
					got, err := p.Holder(t.Context(), "users", claim)
					if err != nil || got != want {
						t.Fatalf("%d records left: got holder %q of %s, %v, want %q", len(left), got, claim, err, want)
					}
				}
				recent := f.recentClaims()
				if most := 2*c.keep + largest; recent > most {
					t.Fatalf("%d records left: got %d claims in the table of recent claims, want at most %d", len(left), recent, most)
				}
			}
			claims := make([]string, 300)
			for i := range claims {
				claims[i] = fmt.Sprint("email:", i)
			}
			want := maps.Collect(func(yield func(string, string) bool) {
				for key, holder := range model.Claims {
					if holder != "" && !yield(key.Claim, holder) {
						return
					}
				}
			})
			if got, err := p.Holders(t.Context(), "users", claims); err != nil || !maps.Equal(got, want) {
				t.Errorf("got %d holders, %v, want the %d of admission", len(got), err, len(want))
			}
			close(p.closing)
			p.rebuilds.Wait()
			if differ, err := reads.UnlikeDigests(t.Context(), f.db.Path, nil); err != nil || len(differ) > 0 {
				t.Errorf("got differences in %v, %v, want none", differ, err)
			}
		})
	}
}

// The recent claims stay few although a node is restarted again and again before all of them could move
// to their table at the usual pace.
func TestRecentClaimsStayFewOverRestarts(t *testing.T) {
	f := newFile(t)
	const keep, batches = 200, 40
	f.w.Recent.Keep(keep, 1)
	most := 0
	for offset := range int64(60 * batches) {
		if offset%batches == 0 {
			f.forget()
		}
		f.apply(claiming(offset, fmt.Sprint("email:", offset)))
		most = max(most, f.recentClaims())
	}
	if most < keep || most > 3*keep {
		t.Errorf("got up to %d recent claims, want %d to %d", most, keep, 3*keep)
	}
}

// claiming returns the record of a new user with a claim.
func claiming(offset int64, claim string) events.Record {
	id := uuid.Must(uuid.NewV7()).String()
	return events.Record{Offset: offset, Timestamp: time.UnixMilli(offset), Content: events.HasEvent, Event: events.Event{
		ID: id, EntityID: id, Collection: "users", Kind: events.Created, Version: 1, Time: time.UnixMilli(offset), Document: []byte(`{}`), Claims: []string{claim},
	}}
}

// recentClaims counts the changes in the table of recent claims.
func (f *file) recentClaims() (n int) {
	f.t.Helper()
	if err := f.w.Conn.GetContext(f.t.Context(), &n, `SELECT coalesce(sum(length(coalesce(held, '')) / 32 + length(coalesce(released, '')) / 16), 0) FROM _recent_claims`); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// failing applies a batch whose transaction fails at its end.
func (f *file) failing(batch []events.Record) {
	f.t.Helper()
	run := func(statement string) {
		f.t.Helper()
		if _, err := f.w.Conn.ExecContext(f.t.Context(), statement); err != nil {
			f.t.Fatal(err)
		}
	}
	run(`CREATE TEMP TRIGGER full BEFORE UPDATE ON main._checkpoint BEGIN SELECT RAISE(FAIL, 'a failure'); END`)
	if _, err := f.w.Apply(f.t.Context(), slices.Clone(batch)); err == nil {
		f.t.Fatal("got no error from a batch that fails")
	}
	run(`DROP TRIGGER full`)
}

// A row of the recent claims that is incomplete is a damage of the file, which a node repairs.
func TestAnIncompleteRowOfRecentClaimsIsDamage(t *testing.T) {
	for _, change := range []string{
		`UPDATE _recent_claims SET held = substr(held, 1, 31)`, `UPDATE _recent_claims SET released = zeroblob(15)`, `UPDATE _recent_claims SET held = 'x'`,
	} {
		f := newFile(t)
		f.apply(claiming(0, "email:a"))
		if _, err := f.w.Conn.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		err := f.w.Load(t.Context())
		var fault *storagefault.Error
		if !errors.As(err, &fault) || fault.Fault != storagefault.Corrupt {
			t.Errorf("%s: got %v, want a corrupt file", change, err)
		}
	}
}

// A file of version 2, which has no recent claims, can be read as it is, and serves after it was opened.
func TestAFileOfVersion2Serves(t *testing.T) {
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "projection.db")
	private, err := generation.OpenPrivate(t.Context(), path, set)
	if err != nil {
		t.Fatal(err)
	}
	records := contendedRecords(rand.New(rand.NewPCG(4, 4)), 2000)
	applied(t, private, records)
	err = private.Publish(t.Context(), set, slog.New(slog.DiscardHandler))
	want := heldClaims(t, private.Writer.Conn)
	for _, statement := range []string{`DROP TABLE _recent_claims`, `PRAGMA user_version = 2`} {
		_, failed := private.Writer.Conn.ExecContext(t.Context(), statement)
		err = errors.Join(err, failed)
	}
	if err := errors.Join(err, private.Close()); err != nil {
		t.Fatal(err)
	}
	if differ, err := reads.UnlikeDigests(t.Context(), path, nil); err != nil || len(differ) > 0 {
		t.Errorf("got differences in %v, %v before it was opened, want none", differ, err)
	}
	if built, err := offline.Inspect(t.Context(), path); err != nil || built.Position != 2000 {
		t.Errorf("got %+v, %v, want position 2,000", built, err)
	}
	if version, err := tableVersion(t, path); err != nil || version != 2 {
		t.Errorf("got version %d, %v after it was read, want 2", version, err)
	}
	g, err := generation.Open(t.Context(), path, set, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := heldClaims(t, g.Writer.Conn); !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("got %d claims, want the %d of before", len(got), len(want))
	}
	more := contendedRecords(rand.New(rand.NewPCG(5, 5)), 100)
	for i := range more {
		more[i].Offset += 2000
	}
	applied(t, g, more)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if version, err := tableVersion(t, path); err != nil || version != 3 {
		t.Errorf("got version %d, %v after it was opened, want 3", version, err)
	}
	if differ, err := reads.UnlikeDigests(t.Context(), path, nil); err != nil || len(differ) > 0 {
		t.Errorf("got differences in %v, %v, want none", differ, err)
	}
}
