package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// searchable returns a folder with the example collections, in which the names of products can be searched.
func searchable(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(cluster.Root(t), "examples"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "products.json")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	after := strings.Replace(string(before), `"name": { "type": "string",`, `"name": { "type": "string", "x-search": true,`, 1)
	if after == string(before) {
		t.Fatalf("got %s, want a name to search", before)
	}
	if err := os.WriteFile(file, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// searchPages searches through the proxy. Each page may come from another node.
func searchPages(t *testing.T, url string) {
	target := suite.Target{URL: url}
	word := fmt.Sprintf("w%d", time.Now().UnixNano())
	for n := range 5 {
		target.Do(t, "POST", "/products", fmt.Sprintf(`{"sku":"S-%d-%d","name":"tea %s","price":1}`, time.Now().UnixNano()%1e9, n, word)).Want(t, 201)
	}
	found := map[string]bool{}
	for path, pages := "/products?limit=2&q="+word, 1; path != ""; pages++ {
		var r suite.Response
		eventually(t, "a node answers the search", func() bool { // an index is built at the start
			r = target.Do(t, "GET", path, "")
			return r.Status != http.StatusServiceUnavailable
		})
		var page []suite.Entity
		if err := json.Unmarshal(r.Want(t, 200).Body, &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			found[e.ID] = true
		}
		if path, _, _ = strings.Cut(strings.TrimPrefix(r.Header.Get("Link"), "<"), ">"); pages > 3 {
			t.Fatalf("got page %d, want three", pages)
		}
	}
	if len(found) != 5 {
		t.Errorf("got %d products on all pages, want 5", len(found))
	}
}

// followRows follows the rows of a read model through the proxy: its clients see a write at once, although
// Nginx buffers responses.
func followRows(t *testing.T, url string) {
	target := suite.Target{URL: url}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	email := suite.Email()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/models/mirror/users?fields=name&email="+email, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("got %d, want a stream", response.StatusCode)
	}
	lines := bufio.NewScanner(response.Body)
	id := ""
	for _, s := range []struct {
		write func()
		want  string
	}{
		{func() {}, "[]"},
		{func() {
			var e suite.Entity
			if err := json.Unmarshal(target.Do(t, "POST", "/users", suite.UserBody("Ada", email)).Want(t, 201).Body, &e); err != nil {
				t.Fatal(err)
			}
			id = e.ID
		}, `[{"name":"Ada"}]`},
		{func() { target.Do(t, "PATCH", "/users/"+id, `{"name":"Augusta"}`).Want(t, 200) }, `[{"name":"Augusta"}]`},
		{func() { target.Do(t, "DELETE", "/users/"+id, "").Want(t, 204) }, "[]"},
	} {
		s.write()
		for ok := true; ok && !strings.HasPrefix(lines.Text(), "data:["); ok = lines.Scan() {
		}
		if got := strings.TrimPrefix(lines.Text(), "data:"); got != s.want {
			t.Fatalf("got %q, %v, want the rows %s", got, lines.Err(), s.want)
		}
		lines.Scan() // past these rows
	}
}
