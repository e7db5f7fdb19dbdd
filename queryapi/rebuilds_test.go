package queryapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// rebuilt rebuilds the node, and returns once the new file and its journal serve.
func (n node) rebuilt() {
	n.t.Helper()
	end := servicetest.Context(n.t)
	// It waits until no read uses the file that an earlier rebuild has replaced.
	for err := projections.ErrRebuilding; errors.Is(err, projections.ErrRebuilding); time.Sleep(time.Millisecond) {
		if err = n.model.StartRebuild(projections.RebuildOptions{}); err != nil && (!errors.Is(err, projections.ErrRebuilding) || end.Err() != nil) {
			n.t.Fatal(err)
		}
	}
	for ; ; time.Sleep(time.Millisecond) {
		s, _ := n.model.Rebuild()
		if s.State == projections.RebuildDone {
			return
		}
		if s.State != projections.RebuildRunning || end.Err() != nil {
			n.t.Fatalf("got %+v, want a rebuild that ends", s)
		}
	}
}

// An interruptedWriter calls once while the response is being written.
type interruptedWriter struct {
	*httptest.ResponseRecorder
	once func()
}

func (w *interruptedWriter) Write(b []byte) (int, error) {
	if f := w.once; f != nil {
		w.once = nil
		f()
	}
	return w.ResponseRecorder.Write(b)
}

// TestARebuildDuringReads checks that streams and pages over the end of a rebuild show each entity and each
// change once: the node then serves another file, with another journal.
func TestARebuildDuringReads(t *testing.T) {
	n := newFeed(t, changes.Timing{})
	var ids []string
	long := strings.Repeat("x", 1000)
	var end events.Position
	for range 300 {
		id := uuid.Must(uuid.NewV7()).String()
		var err error
		if end, err = n.log.Append(servicetest.Context(t), events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: events.Created, Version: 1,
			Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Document: fmt.Appendf(nil, `{"name":%q,"email":"%s@example.com"}`, long, id),
		}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	n.get("/users?limit=1", 200) // it has applied all of them
	// Lines are of the file and the position at which the stream began.
	r := httptest.NewRequest(http.MethodGet, "/users", http.NoBody)
	r.Header.Set("Accept", "application/x-ndjson")
	w := &interruptedWriter{httptest.NewRecorder(), func() {
		n.write(ids[0], events.Deleted, 2, "")
		n.created(1)
		n.rebuilt()
	}}
	n.ServeHTTP(w, r)
	body := w.Body.String()
	if w.once != nil || w.Code != http.StatusOK || strings.Count(body, "\n") != len(ids) || !strings.Contains(body, ids[0]) || w.Header().Get("Clusterlite-Position") != fmt.Sprint(end) {
		t.Errorf("got %d, %d entities at position %s, want the %d of position %d", w.Code, strings.Count(body, "\n"), w.Header().Get("Clusterlite-Position"), len(ids), end)
	}

	got := n.ids("/users?limit=100&sort=id", n.rebuilt)
	if len(got) != len(ids) || !slices.Equal(got[:len(ids)-1], ids[1:]) {
		t.Errorf("got %d entities over a rebuild, want %d, each once", len(got), len(ids))
	}
	at := fmt.Sprintf("/users?limit=100&at=%d", end)
	if got := n.ids(at, n.rebuilt); !slices.Equal(got, ids) {
		t.Errorf("got %d entities of the past over rebuilds, want %d, each once", len(got), len(ids))
	}
	var seen []string
	for offset := "-1"; ; {
		all, r := n.changes("/users/changes?offset=" + offset)
		for _, c := range all {
			seen = append(seen, c.Position)
		}
		if offset = r.Header.Get("Stream-Next-Offset"); r.Header.Get("Stream-Up-To-Date") == "true" {
			break
		}
		n.rebuilt()
	}
	if len(seen) != len(ids)+2 || !slices.IsSortedFunc(seen, comparePositions) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
		t.Errorf("got %d changes over rebuilds, want %d, each once and in order", len(seen), len(ids)+2)
	}
}

// comparePositions compares positions as texts.
func comparePositions(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
