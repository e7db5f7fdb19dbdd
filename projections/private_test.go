package projections

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A private file, whose claims are written late, gives the same verdicts and ends with the same rows
// as a file that serves, whatever the sizes of the batches and of the buffer.
func TestAPrivateFileEqualsOneThatServes(t *testing.T) {
	declared, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for seed, buffered := range []int{1, 10, 100, 1_000_000} {
		t.Run(fmt.Sprintf("%d claims", buffered), func(t *testing.T) {
			serving, err := generation.Open(t.Context(), filepath.Join(t.TempDir(), "serving.db"), declared, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = serving.Close() }()
			private, err := generation.OpenPrivate(t.Context(), filepath.Join(t.TempDir(), "private.db"), declared)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = private.Close() }()
			private.Writer.BeginBulk(buffered)
			serving.Writer.Recent.Keep(buffered, 1)
			random := rand.New(rand.NewPCG(1, uint64(seed)))
			records := contendedRecords(random, 6000)
			outcomes := map[events.Outcome]int{}
			for left := records; len(left) > 0; {
				n := min(1+random.IntN(900), len(left))
				got, want := applied(t, private, left[:n]), applied(t, serving, left[:n])
				for i := range want {
					if outcomes[want[i].Verdict.Outcome]++; got[i].Verdict != want[i].Verdict {
						t.Fatalf("record %d: got verdict %+v, want %+v", want[i].Record.Offset, got[i].Verdict, want[i].Verdict)
					}
				}
				left = left[n:]
			}
			if outcomes[events.Admitted] < 500 || outcomes[events.Void] < 500 {
				t.Errorf("got %v outcomes, want many of each", outcomes)
			}
			if err := private.Publish(t.Context(), declared, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			if got, want := private.Writer.Summaries(), serving.Writer.Summaries(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			for table, columns := range map[string]string{
				"_tombstones": "collection, id, version, created_at, updated_at",
				"users":       "id, version, created_at, updated_at, doc, _claims, _folded", "_keys": "key, position, collection, id", "_voids": "offset, reason, detail",
			} {
				got, want := content(t, private, table, columns), content(t, serving, table, columns)
				if !slices.Equal(got, want) {
					t.Errorf("%s: got %d rows that differ from the %d of the file that serves", table, len(got), len(want))
				}
			}
			if got, want := heldClaims(t, private.Writer.Conn), heldClaims(t, serving.Writer.Conn); !slices.Equal(got, want) {
				t.Errorf("got %d claims that differ from the %d of the file that serves", len(got), len(want))
			}
		})
	}
}

// contendedRecords returns records that change few entities and want few claims, so that many of
// them are void.
func contendedRecords(random *rand.Rand, n int) []events.Record {
	const entities, claims = 400, 300
	versions := map[string]int64{}
	records := make([]events.Record, n)
	for i := range records {
		id := fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", random.IntN(entities))
		e := events.Event{
			ID: fmt.Sprintf("0193a1a0-0000-7000-9000-%012x", i), Source: "/test", Collection: "users", EntityID: id, Time: time.UnixMilli(int64(i)),
			Kind: []events.Kind{events.Created, events.Updated, events.Updated, events.Deleted, events.Restored}[random.IntN(5)],
		}
		if e.Kind == events.Created {
			e.Version = 1
		} else {
			e.Version = versions[id] + 1 // often, but not always, the next version
		}
		if e.Kind != events.Deleted {
			claim := random.IntN(claims)
			e.Document, e.Claims = fmt.Appendf(nil, `{"email":"P%d@example.com"}`, claim), []string{fmt.Sprintf("email:%d", claim)}
		}
		if random.IntN(10) == 0 {
			e.IdempotencyKey = fmt.Sprint("key-", random.IntN(n/20))
		}
		if random.IntN(3) > 0 {
			versions[id] = e.Version
		}
		records[i] = events.Record{Offset: int64(i), Timestamp: e.Time, Content: events.HasEvent, Event: e}
	}
	return records
}

func applied(t *testing.T, g *generation.Generation, records []events.Record) []readmodel.Judged {
	t.Helper()
	done, err := g.Writer.Apply(t.Context(), slices.Clone(records))
	if err != nil || len(done) != len(records) {
		t.Fatalf("got %d records applied, %v, want %d", len(done), err, len(records))
	}
	return done
}

// content returns the rows of a table as text, sorted.
func content(t *testing.T, g *generation.Generation, table, columns string) (rows []string) {
	t.Helper()
	found, err := g.Writer.Conn.QueryxContext(t.Context(), `SELECT `+columns+` FROM `+table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	for found.Next() {
		row, err := found.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, fmt.Sprint(row))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return rows
}
