package queryapi_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// await waits until what is true.
func (n modelNode) await(what string, is func() bool) {
	n.t.Helper()
	for end := servicetest.Context(n.t); !is(); time.Sleep(time.Millisecond) {
		if end.Err() != nil {
			n.t.Fatalf("got no %s in time", what)
		}
	}
}

// block locks the file of a model, so that the statements of the next event do not end before release is
// called.
func (n modelNode) block(model string) (release func()) {
	n.t.Helper()
	paths, err := filepath.Glob(filepath.Join(n.dir, model+".*.db"))
	if err != nil || len(paths) != 1 {
		n.t.Fatalf("got %v, %v, want one file of %s", paths, err, model)
	}
	db, err := sql.Open("sqlite3", "file:"+paths[0]+"?_busy_timeout=10000&_txlock=immediate")
	if err != nil {
		n.t.Fatal(err)
	}
	tx, err := db.BeginTx(servicetest.Context(n.t), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	released := false
	release = func() {
		if !released {
			released = true
			if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
				n.t.Error(err)
			}
		}
	}
	n.t.Cleanup(release)
	return release
}

// TestASlowModelDelaysNothing checks that reads of entities, lists, the change feed and other models see
// all writes while one model does not get on, one has stopped, and one is being built.
func TestASlowModelDelaysNothing(t *testing.T) {
	const slow = "CREATE TABLE t (n INTEGER);\nINSERT INTO t VALUES (0);\n-- on: users.created\nUPDATE t SET n = n + 1;"
	n := newModelNode(t, "", map[string]string{
		"good": people, "slow": slow, "building": slow,
		"failing": "CREATE TABLE t (n INTEGER CHECK (n < 0));\n-- on: users.created\nINSERT INTO t VALUES (1);",
	})
	model := func(name string) *modelset.Model {
		m, ok := n.models.Get(name)
		if !ok {
			t.Fatalf("got no model %s, want one", name)
		}
		return m
	}
	release := n.block("slow")
	_, first := n.created(0)
	n.await("stop of the failing model", func() bool { return model("failing").Status().Serving.Stopped != nil })
	n.await("failure of the slow model", func() bool { return model("slow").Status().Serving.State == modelset.Failing })
	var want []string
	for i := range 20 {
		id, at := n.created(i + 1)
		if i == 10 {
			if err := model("building").Rebuild(); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.main.WaitFor(servicetest.Context(t), at); err != nil {
			t.Fatalf("the main read model: got %v, want position %d", err, at)
		}
		n.get("/users/"+id, 200)
		n.get(fmt.Sprintf("/users/%s?at=%d", id, at), 200)
		if got := servicetest.Body(t, n.get("/models/good/people?fields=n&id="+id, 200)); got != fmt.Sprintf(`[{"n":%d}]`, i+1) {
			t.Errorf("got %s from the other model, want the new row", got)
		}
		want = append(want, id)
	}
	n.await("build", func() bool {
		s := model("building").Status()
		return s.Building == nil && s.Serving.Position >= first+20
	})
	body := servicetest.Body(t, n.get(fmt.Sprintf("/users/changes?offset=%016d", first), 200))
	for _, id := range want {
		if !strings.Contains(body, id) {
			t.Errorf("got no change of %s from the feed, want one", id)
		}
	}
	if got := model("slow").Position(); got >= first {
		t.Errorf("got position %d of the slow model, want it before %d", got, first)
	}
	if got := model("failing").Position(); got >= first {
		t.Errorf("got position %d of the failing model, want it before %d", got, first)
	}
	release()
	if err := model("slow").WaitFor(servicetest.Context(t), first+20); err != nil {
		t.Errorf("got %v after the slow model was released, want it to catch up", err)
	}
	if got := servicetest.Body(t, n.get("/models/slow/t", 200, "Clusterlite-Min-Position: "+strconv.Itoa(int(first+20)))); got != `[{"n":21}]` {
		t.Errorf("got %s, want 21 events in the slow model", got)
	}
}

// TestAModelIsReplacedWhileItIsRead checks that a read sees one state of one build, and that the pages of a
// list continue in the new build of the same file.
func TestAModelIsReplacedWhileItIsRead(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people})
	var ids []string
	for i := range 20 {
		id, _ := n.created(i)
		ids = append(ids, id)
	}
	m, _ := n.models.Get("m")
	numbers := 20
	rebuild := func() {
		before, err := filepath.Glob(filepath.Join(n.dir, "m.*.db"))
		if err != nil || len(before) != 1 {
			t.Fatalf("got %v, %v, want one file", before, err)
		}
		if err := m.Rebuild(); err != nil {
			t.Fatal(err)
		}
		_, at := n.created(numbers)
		numbers++
		n.await("new build", func() bool { s := m.Status(); return s.Building == nil && s.Serving.Position >= at })
		n.await("removal of the file", func() bool {
			after, err := filepath.Glob(filepath.Join(n.dir, "m.*.db"))
			return err == nil && len(after) == 1 && after[0] != before[0]
		})
	}
	// Each page is of another build. What was there all the time is there once.
	if got := n.ids("/models/m/people?sort=n&limit=7&fields=id,n&n[lt]=20", rebuild); strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Errorf("got %v, want %v", got, ids)
	}

	// One read, over a replacement.
	n.get("/models/m/people?limit=1", 200, "Clusterlite-Consistency: strong")
	tx, release, err := m.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, at := numbers, tx.At
	seen := 0
	err = tx.Query(t.Context(), "SELECT n FROM people ORDER BY n", nil, func(row []any) error {
		if seen == 3 {
			rebuild()
		}
		if row[0] != int64(seen) {
			t.Errorf("got number %v, want %d", row[0], seen)
		}
		seen++
		return nil
	})
	if err := errors.Join(err, tx.Close()); err != nil {
		t.Fatal(err)
	}
	release()
	if seen != want {
		t.Errorf("got %d rows at position %d, want %d", seen, at, want)
	}
	if got := n.get("/models/m/people?count=true&limit=1", 200).Header.Get("Total-Count"); got != strconv.Itoa(numbers) {
		t.Errorf("got %s rows afterwards, want %d", got, numbers)
	}
}

// TestACursorOfAnotherDefinition checks that a client that pages through a model whose definition changes
// gets an error, and not a mixture of both.
func TestACursorOfAnotherDefinition(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people})
	for i := range 5 {
		n.created(i)
	}
	link := n.get("/models/m/people?limit=2", 200).Header.Get("Link")
	next := strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	n.get(next, 200)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- n.models.Run(ctx) }()
	defer func() { stop(); <-ran }()
	replace(t, filepath.Join(n.folder, "m.sql"), strings.Replace(people, "before TEXT", "\"before\" TEXT", 1))
	m, _ := n.models.Get("m")
	old := m.Status().Serving.Hash
	n.await("new definition", func() bool { return m.Status().Serving.Hash != old })
	if body := servicetest.Body(t, n.get(next, 400)); !strings.Contains(body, "cursor") {
		t.Errorf("got %s, want an error about the cursor", body)
	}
}

// replace replaces a file in one step.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}
