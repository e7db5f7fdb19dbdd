package projections

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// A held claim is never reported as free, while claims are taken and released and while the
// filter is filled and discarded.
func TestHeldClaimIsNeverFree(t *testing.T) {
	f := newFile(t)
	p := &Projection{options: Options{}.withDefaults(), closing: make(chan struct{})}
	p.options.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	g := generation.New(f.db, f.w)
	p.serve(g)
	g.Writer.Recent.Keep(30, 5) // so that claims move to their table meanwhile

	type holding struct{ claim, id string }
	var mu sync.Mutex
	var held []holding // only grows, so every claim that a reader takes from it is still held
	done := make(chan struct{})
	var readers sync.WaitGroup
	for n := range 3 {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		readers.Go(func() {
			for !isClosed(done) {
				mu.Lock()
				var want holding
				if len(held) > 0 {
					want = held[random.IntN(len(held))]
				}
				mu.Unlock()
				if want.id == "" {
					continue
				}
				if got, err := p.Holder(t.Context(), "users", want.claim); err != nil || got != want.id {
					t.Errorf("holder of %s: got %q, %v, want %s", want.claim, got, err, want.id)
					return
				}
				if got, err := p.Holders(t.Context(), "users", []string{want.claim, "email:free"}); err != nil || len(got) != 1 || got[want.claim] != want.id {
					t.Errorf("holders of %s and a free claim: got %v, %v, want %s for the first and none for the second", want.claim, got, err, want.id)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(2, 2))
	offset := int64(0)
	next := func(e events.Event) events.Record {
		e.ID, e.Collection, e.Time = uuid.NewString(), "users", time.UnixMilli(offset)
		offset++
		return events.Record{Offset: offset - 1, Timestamp: e.Time, Content: events.HasEvent, Event: e}
	}
	const batches = 80
	for i := range batches {
		var batch []events.Record
		var added []holding
		for j := range 1 + random.IntN(20) {
			h := holding{fmt.Sprintf("email:%d-%d", i, j), uuid.Must(uuid.NewV7()).String()}
			if j%2 == 1 {
				h.id = uuid.NewString() // a random id, which is not in time order
			}
			created := events.Event{EntityID: h.id, Kind: events.Created, Version: 1, Document: []byte(`{}`), Claims: []string{h.claim}}
			if j%5 == 4 {
				// Another entity held the claim before.
				former := created
				former.EntityID = uuid.NewString()
				batch = append(batch, next(former), next(events.Event{EntityID: former.EntityID, Kind: events.Deleted, Version: 2}))
			}
			batch, added = append(batch, next(created)), append(added, h)
		}
		for _, j := range batch {
			if done, err := g.Writer.Apply(t.Context(), []events.Record{j}); err != nil || done[0].Verdict.Outcome != events.Admitted {
				t.Fatalf("apply %+v: got %v, %v, want it admitted", j.Event, done, err)
			}
		}
		mu.Lock()
		held = append(held, added...)
		mu.Unlock()
		if i%20 == 10 {
			g.Writer.Claims.Begin()
			g.Writer.Claims.Forget()
			g.Writer.Claims.End()
		}
	}
	close(done)
	readers.Wait()

	// In the end a filter is filled and gives answers.
	for g.Writer.Claims.Serving.Load() == nil {
		p.knownFree(g, "users", rowformat.PackClaim("email:free"))
		if t.Context().Err() != nil {
			t.Fatal("got no filter, want one to be filled")
		}
	}
	free := 0
	for i := range 1000 {
		if p.knownFree(g, "users", rowformat.PackClaim(fmt.Sprintf("email:free-%d", i))) {
			free++
		}
	}
	if free < 990 {
		t.Errorf("got %d of 1,000 free claims known to be free, want at least 990", free)
	}
	for _, h := range held {
		if p.knownFree(g, "users", rowformat.PackClaim(h.claim)) {
			t.Fatalf("%s: got a free claim, want it held by %s", h.claim, h.id)
		}
	}
	close(p.closing)
	p.rebuilds.Wait()
}

// A larger filter replaces one that is too small, however many claims an entity has.
// A scan of the table of claims finds each claim once, however many parts it needs.
func TestClaimScanFindsEachClaim(t *testing.T) {
	f := newFile(t)
	db, err := sqlite.Connect(t.Context(), f.db.Path, 1, url.Values{}) // the writer holds its own connection
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	want := map[string]int{}
	for collection, claims := range map[string]int{"a": 1, "orders": 10_000, "users": 25_000, "z": 3} {
		if _, err := db.Exec(`INSERT INTO _claims WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) SELECT ?1, randomblob(16), x'00' FROM n`, collection, claims); err != nil {
			t.Fatal(err)
		}
		want[collection] = claims
	}
	// No claim has this length, unless the file is damaged.
	if _, err := db.Exec(`INSERT INTO _claims VALUES ('users', x'7f', x'00')`); err != nil {
		t.Fatal(err)
	}
	r, err := f.db.Entities.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.db.Entities.Release(r)
	got, found := map[string]int{}, map[string]bool{}
	for scan, more := (reads.ClaimScan{}), true; more; {
		if more, err = scan.Next(r, func(collection string, claim []byte) {
			got[collection]++
			found[collection+string(claim)] = true
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(got, want) || len(found) != 35_004 {
		t.Errorf("got %v, %d different ones, want %v", got, len(found), want)
	}
}

func TestFilterGrows(t *testing.T) {
	f := applier.NewClaimFilter()
	all := func(n int) func(func(string, []byte)) error {
		return func(add func(string, []byte)) error {
			for i := range n {
				add("users", rowformat.PackClaim(fmt.Sprint(i)))
			}
			return nil
		}
	}
	const claims = 5 * applier.FilterMinClaims
	filled := 0
	for ; f.Wanted(); filled++ {
		if err := f.Fill(1, all(claims)); err != nil {
			t.Fatal(err)
		}
	}
	if filled != 2 {
		t.Errorf("got %d fills of the filter, want 2: one too small, and one large enough", filled)
	}
	if err := f.Fill(1, func(func(string, []byte)) error { return io.ErrUnexpectedEOF }); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v from a scan that fails, want its error", err)
	}
	for i := range claims {
		if f.Free("users", rowformat.PackClaim(fmt.Sprint(i))) {
			t.Fatalf("claim %d: got a free claim, want it held", i)
		}
	}
}

// If the filter calls a held claim free, the file counts as damaged once the claim moves to
// its table, where another entity holds it.
func TestWrongFilterIsFoundOut(t *testing.T) {
	f := newFile(t)
	claim := "email:AAAAAAAAAAAAAAAAAAAAAA"
	f.w.Recent.Keep(1, 1)
	f.apply(claiming(0, claim))
	f.apply(claiming(1, "email:another"))         // the first one moves to the table
	f.w.Claims.Serving.Store(applier.NewBloom(1)) // an empty filter
	f.apply(claiming(2, claim))
	var err error
	for offset := int64(3); err == nil && offset < 10; offset++ {
		_, err = f.w.Apply(t.Context(), []events.Record{claiming(offset, fmt.Sprint("email:", offset))})
	}
	var fault *storagefault.Error
	if !errors.As(err, &fault) || fault.Fault != storagefault.Corrupt {
		t.Errorf("got %v, want a corrupt file", err)
	}
}

// A node that decides no commands fills a filter as well, once it has looked up many claims.
func TestANodeWithManyLookupsFillsAFilter(t *testing.T) {
	f := newFile(t)
	p := &Projection{options: Options{}.withDefaults(), closing: make(chan struct{})}
	p.options.Logger = slog.New(slog.DiscardHandler)
	f.w.Recent.Keep(100, 1) // most of the claims are in the table
	g := generation.New(f.db, f.w)
	p.serve(g)
	var batch []events.Record
	for i := range int64(1200) {
		batch = append(batch, claiming(i, fmt.Sprint("email:", i)))
	}
	for some := range slices.Chunk(batch, 50) {
		if _, err := p.applyServing(some, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.rebuilds.Wait()
	if f.w.Claims.Serving.Load() == nil {
		t.Fatal("got no filter, want one")
	}
	for i := range 1200 {
		if f.w.Claims.Free("users", rowformat.PackClaim(fmt.Sprint("email:", i))) {
			t.Fatalf("claim %d: got a free claim, want it held", i)
		}
	}
	if !f.w.Claims.Free("users", rowformat.PackClaim("email:x")) {
		t.Error("got a held claim, want it free")
	}
}
