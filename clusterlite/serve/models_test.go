package serve_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
)

// guide returns the blocks of the guide that are to be run.
func guide(t *testing.T) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/how-to/add-a-read-model.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^<!-- models -->\n```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

// TestTheGuideToReadModels runs the blocks of docs/how-to/add-a-read-model.md.
func TestTheGuideToReadModels(t *testing.T) {
	blocks := guide(t)
	if len(blocks) != 2 {
		t.Fatalf("got %d blocks, want 2", len(blocks))
	}
	dir := t.TempDir()
	shell(t, dir, blocks[0])
	s := clitest.Serve(t, t.TempDir(), "--models-dir="+filepath.Join(dir, "models"))
	awaitModels(t, s, "domains")
	got := shell(t, dir, strings.ReplaceAll(blocks[1], "http://localhost:8080", s.URL))
	for _, want := range []string{`[{"domain":"example.com","users":2}]`, `[{"name":"Ada","users":1},{"name":"Alan","users":1}]`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// awaitModels waits until the server has built the models.
func awaitModels(t *testing.T, s clitest.Server, names ...string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		var list struct {
			Models []struct {
				Model   string
				Serving *struct{ Position int64 }
			}
		}
		if err := json.Unmarshal(clitest.Request(t, "GET", s.Admin+"/models", ""), &list); err != nil {
			t.Fatal(err)
		}
		built := map[string]bool{}
		for _, m := range list.Models {
			built[m.Model] = m.Serving != nil
		}
		missing := 0
		for _, name := range names {
			if !built[name] {
				missing++
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("got models %+v in time, want %v", list.Models, names)
		}
	}
}

// shipped copies shipped models to a folder.
func shipped(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("../../models", name+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".sql"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// created creates an entity and returns its id.
func created(t *testing.T, url, document string) string {
	t.Helper()
	var e struct{ ID string }
	if err := json.Unmarshal(clitest.Request(t, "POST", url, document), &e); err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// TestShippedModels checks the models of the folder models through the API.
func TestShippedModels(t *testing.T) {
	s := clitest.Serve(t, t.TempDir(), "--collections=../../examples", "--models-dir="+shipped(t, "stats", "customers"))
	awaitModels(t, s, "stats", "customers")
	ada := created(t, s.URL+"/users", `{"name":"Ada","email":"ada@example.com"}`)
	bo := created(t, s.URL+"/users", `{"name":"Bo","email":"bo@example.com"}`)
	order := func(number int, customer, status, day string, quantity int) string {
		return fmt.Sprintf(`{"number":%d,"customer":%q,"status":%q,"placed_on":%q,"lines":[{"sku":"A","quantity":%d,"price":4.35},{"sku":"B","quantity":1}]}`, number, customer, status, day, quantity)
	}
	first := created(t, s.URL+"/orders", order(1, ada, "paid", "2026-11-01", 2))
	second := created(t, s.URL+"/orders", order(2, ada, "paid", "2026-11-01", 1))
	third := created(t, s.URL+"/orders", order(3, bo, "open", "2026-12-02", 3))
	clitest.Request(t, "PUT", s.URL+"/orders/"+second, order(2, ada, "shipped", "2026-11-03", 4))
	clitest.Request(t, "DELETE", s.URL+"/orders/"+third, "")
	clitest.Request(t, "PATCH", s.URL+"/users/"+ada, `{"name":"Ada L."}`)

	for path, want := range map[string]string{
		"stats/days":                    `[{"day":"2026-11-01","orders":1,"total":870},{"day":"2026-11-03","orders":1,"total":1740}]`,
		"stats/months":                  `[{"month":"2026-11","orders":2,"total":2610}]`,
		"stats/months?since=2026-11-02": `[{"month":"2026-11","orders":1,"total":1740}]`,
		"stats/activity?fields=collection,created,updated,deleted&sort=collection": `[{"collection":"orders","created":3,"updated":1,"deleted":1},{"collection":"users","created":2,"updated":1,"deleted":0}]`,
		"customers/orders?sort=number&fields=id,number,customer_name,total":        fmt.Sprintf(`[{"id":%q,"number":1,"total":870,"customer_name":"Ada L."},{"id":%q,"number":2,"total":1740,"customer_name":"Ada L."}]`, first, second),
		"customers/customers?sort=-total&fields=name,orders,total":                 `[{"name":"Ada L.","orders":2,"total":2610},{"name":"Bo","orders":0,"total":0}]`,
		"customers/customers?orders=0&fields=name":                                 `[{"name":"Bo"}]`,
		"customers/best?status=shipped&fields=name,total":                          `[{"name":"Ada L.","total":1740}]`,
	} {
		if got := string(clitest.Request(t, "GET", s.URL+"/models/"+path, "")); strings.TrimSpace(got) != want {
			t.Errorf("GET /models/%s: got %s, want %s", path, got, want)
		}
	}

	// For a model, an entity that was deleted and comes back is another creation.
	clitest.Request(t, "POST", s.URL+"/orders/"+third+"/restore", `{"version":1}`)
	for path, want := range map[string]string{
		"stats/days?day=2026-12-02":                                       `[{"day":"2026-12-02","orders":1,"total":1305}]`,
		"stats/activity?collection=orders&fields=created,updated,deleted": `[{"created":4,"updated":1,"deleted":1}]`,
		"customers/orders?number=3&fields=id,customer_name,total":         fmt.Sprintf(`[{"id":%q,"total":1305,"customer_name":"Bo"}]`, third),
		"customers/customers?name=Bo&fields=name,orders,total":            `[{"name":"Bo","orders":1,"total":1305}]`,
	} {
		if got := string(clitest.Request(t, "GET", s.URL+"/models/"+path, "")); strings.TrimSpace(got) != want {
			t.Errorf("after the restore: GET /models/%s: got %s, want %s", path, got, want)
		}
	}
}
