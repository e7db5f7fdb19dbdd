package readmodel_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/readmodel"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// TestThePastIsWhatReplayMakes compares the entities that the API shows at 20 random positions and times
// with the files that `clusterlite replay --until` makes, for 50 entities that clients have changed,
// deleted and brought back.
func TestThePastIsWhatReplayMakes(t *testing.T) {
	s := clitest.Serve(t, t.TempDir())
	random := rand.New(rand.NewPCG(3, 4))
	var ids []string
	living := map[string]bool{}
	for i := range 50 {
		_, id := s.Post("users", fmt.Sprintf(`{"name":"N%d","email":"n%d@example.com"}`, i, i))
		ids, living[id] = append(ids, id), true
	}
	for i := range 250 {
		id := ids[random.IntN(len(ids))]
		url := s.URL + "/users/" + id
		switch {
		case !living[id]:
			clitest.Request(t, http.MethodPost, url+"/restore", `{"version":1}`)
			living[id] = true
		case random.IntN(5) == 0:
			clitest.Request(t, http.MethodDelete, url, "")
			living[id] = false
		default:
			clitest.Request(t, http.MethodPatch, url, fmt.Sprintf(`{"name":"N%d"}`, 1000+i))
		}
	}
	var changes []struct{ Position, Appendedat string }
	if err := json.Unmarshal(clitest.Request(t, http.MethodGet, s.URL+"/users/changes?offset=-1", ""), &changes); err != nil {
		t.Fatal(err)
	}
	if len(changes) != 300 {
		t.Fatalf("got %d changes, want 300", len(changes))
	}
	compared := 0
	for i := range 20 {
		one := changes[random.IntN(len(changes))]
		at := one.Appendedat
		if i%2 == 0 {
			at = one.Position
		}
		out := filepath.Join(t.TempDir(), "replay.db")
		var replayed readmodel.Replayed
		if err := clitest.ToolAlone(t, &replayed, "replay", "--until="+at, "--out="+out, "--kafka-brokers="+s.Kafka); err != nil {
			t.Fatal(err)
		}
		if position, err := strconv.Atoi(one.Position); err != nil || int(replayed.Position) < position || i%2 == 0 && int(replayed.Position) != position {
			t.Fatalf("replay until %s: got position %d, %v, want that of %+v", at, replayed.Position, err, one)
		}
		want := map[string]string{}
		if err := offline.Contents(servicetest.Context(t), out, func(e events.Entity) error {
			want[e.ID] = string(e.Rendered)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, id := range ids {
			if got := entityAt(t, s.URL+"/users/"+id+"?at="+at); got != want[id] {
				t.Errorf("%s at %s: got %s, want %s", id, at, got, want[id])
			}
			if want[id] != "" {
				all = append(all, id)
			}
			compared++
		}
		var list []struct{ ID string }
		if err := json.Unmarshal(clitest.Request(t, http.MethodGet, s.URL+"/users?limit=100&at="+at, ""), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list {
			got = append(got, e.ID)
		}
		if slices.Sort(all); !slices.Equal(got, all) {
			t.Errorf("the list at %s: got %v, want %v", at, got, all)
		}
	}
	if compared != 1000 {
		t.Errorf("got %d comparisons, want 1,000", compared)
	}
}

// entityAt returns an entity, or nothing if it did not exist.
func entityAt(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil || r.StatusCode != http.StatusOK && r.StatusCode != http.StatusNotFound:
		t.Fatalf("GET %s: got %d %s, %v, want 200 or 404", url, r.StatusCode, body, err)
	case r.StatusCode == http.StatusNotFound:
		return ""
	}
	return string(body)
}
