package projections_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// movingClaims is the environment variable that gives a child process the file to write to.
const movingClaims = "CLUSTERLITE_TEST_MOVING_CLAIMS"

// claimForever is what a child process runs: it applies the log of claimRecord to a file whose claims
// move after a few changes, and reports that it is ready after the first batches.
func claimForever(path string) error {
	set, err := collections.Load("")
	if err != nil {
		return err
	}
	ctx := context.Background()
	g, err := generation.Open(ctx, path, set, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	g.Writer.Recent.Keep(64, 4)
	for n := int64(0); ; n++ {
		batch := make([]events.Record, 1+n%20)
		for i := range batch {
			batch[i] = claimRecord(int64(g.Writer.Position) + int64(i))
		}
		if _, err := g.Writer.Apply(ctx, batch); err != nil {
			return err
		}
		if n == 3 {
			fmt.Println("ready")
		}
	}
}

// claimRecord returns a record of a log in which an entity gets a claim and gives it up, another entity takes
// it, and the first one is deleted.
func claimRecord(offset int64) events.Record {
	n := offset / 4
	e := events.Event{
		ID: fmt.Sprintf("0193a1a0-0000-7000-9000-%012x", offset), Source: "/test", Collection: "users", Time: time.UnixMilli(offset),
		EntityID: fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", 2*n), Document: []byte(`{}`),
	}
	shared, other := fmt.Sprint("email:", n), fmt.Sprint("email:other-", n)
	switch offset % 4 {
	case 0:
		e.Kind, e.Version, e.Claims = events.Created, 1, []string{shared}
	case 1:
		e.Kind, e.Version, e.Claims = events.Updated, 2, []string{other}
	case 2:
		e.Kind, e.Version, e.Claims = events.Created, 1, []string{shared}
		e.EntityID = fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", 2*n+1)
	case 3:
		e.Kind, e.Version, e.Document = events.Deleted, 3, nil
	}
	return events.Record{Offset: offset, Timestamp: e.Time, Content: events.HasEvent, Event: e}
}

// At whatever moment a process is killed while claims move to their table, the claims in the file are those of
// its rows, and the next process goes on with them.
func TestACrashWhileClaimsMoveLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "projection.1.db")
	var last events.Position
	for round := range 12 {
		killAfter(t, movingClaims+"="+path, time.Duration(round*7%12)*5*time.Millisecond)
		built, err := offline.Inspect(t.Context(), path)
		if err != nil || built.Position <= last {
			t.Fatalf("round %d: got position %d, %v, want more than %d", round, built.Position, err, last)
		}
		last = built.Position
		if differ, err := reads.UnlikeDigests(t.Context(), path, nil); err != nil || len(differ) > 0 {
			t.Fatalf("round %d: got differences in %v, %v, want none", round, differ, err)
		}
		if got, want := built.Collections["users"].Living, livingUsers(last); got != want {
			t.Fatalf("round %d: got %d users at position %d, want %d", round, got, last, want)
		}
	}
	db, err := sqlite.Connect(t.Context(), path, 1, url.Values{"mode": {"rw"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var settled, recent int
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM _claims), (SELECT count(*) FROM _recent_claims)`).Scan(&settled, &recent); err != nil {
		t.Fatal(err)
	}
	if settled == 0 || recent == 0 {
		t.Errorf("got %d claims in their table and %d rows of recent claims, want some of both", settled, recent)
	}
}

// livingUsers returns how many users live at a position of the log of claimRecord.
func livingUsers(at events.Position) int64 {
	return int64(at)/4 + []int64{0, 1, 1, 2}[at%4]
}
