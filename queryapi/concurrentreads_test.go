package queryapi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// wide declares a collection with many properties. It has more different lists than any cache of
// statements holds.
func wide(t testing.TB) *collections.Set {
	t.Helper()
	var properties []string
	for i := range 20 {
		properties = append(properties, fmt.Sprintf(`"f%d":{"type":"string"}`, i))
	}
	return declared(t, map[string]string{"wide": strings.Join(properties, ",")})
}

// declared declares collections with the given properties, by their names.
func declared(t testing.TB, properties map[string]string) *collections.Set {
	t.Helper()
	dir := t.TempDir()
	for name, of := range properties {
		schema := `{"title":"` + name + `","type":"object","properties":{` + of + `}}`
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A node that has just started gets requests for many lists at once, no two of them alike, and
// answers each.
func TestManyNewListsAtOnce(t *testing.T) {
	n := newNodeOf(t, wide(t))
	id := uuid.NewString()
	n.append(events.Event{
		ID: uuid.NewString(), Source: "/test", Collection: "wide", EntityID: id, Kind: events.Created, Version: 1,
		Time: time.Unix(1, 0), Document: []byte(`{"f0":"b"}`),
	})
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			path := fmt.Sprintf("/wide?f%d[gt]=a&f%d[lt]=b&sort=f%d&limit=3", i%20, (i+7)%20, (i/20+i)%20)
			if r := servicetest.Do(n, "GET", path, ""); r.StatusCode != 200 {
				t.Errorf("GET %s: got %d, want 200: %s", path, r.StatusCode, servicetest.Body(t, r))
			}
			if r := servicetest.Do(n, "GET", "/wide/"+id, ""); r.StatusCode != 200 {
				t.Errorf("GET of an entity: got %d, want 200: %s", r.StatusCode, servicetest.Body(t, r))
			}
		})
	}
	all.Wait()
}

// A list that finds no free connection gets an overload problem, while reads of single entities
// continue.
func TestAListWithoutAConnectionIsOverload(t *testing.T) {
	n := newNode(t)
	id, at := n.created(1)
	if err := n.model.WaitFor(servicetest.Context(t), at); err != nil {
		t.Fatal(err)
	}
	for end := servicetest.Context(t); ; {
		ctx, cancel := context.WithTimeout(end, time.Millisecond)
		s, err := n.model.BeginRead(ctx)
		cancel()
		if errors.Is(err, projections.ErrOverloaded) {
			break
		}
		if errors.Is(err, context.DeadlineExceeded) && end.Err() == nil {
			continue // a busy machine takes longer than a millisecond to open a connection
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }() // the transaction only reads
	}
	r := n.get("/users", 503)
	if body := servicetest.Body(t, r); !strings.Contains(body, "/overloaded") || r.Header.Get("Retry-After") == "" {
		t.Errorf("got %v, %s, want an overloaded problem with Retry-After", r.Header, body)
	}
	n.get("/users/"+id, 200)
	n.get("/users", 200, "Accept: application/x-ndjson")
}
