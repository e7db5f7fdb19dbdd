package e2e_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// modelsAreEqual gives all nodes that serve reads the read models of the fault run and an index for searches,
// and compares their rows: after they were built from what the log has by now, with writes meanwhile, and after
// a rebuild of a node, which replaces the journal that the models follow. Clients search, and follow rows,
// through the proxy.
func modelsAreEqual(t *testing.T, c *cluster.Cluster) {
	folder := filepath.Join(cluster.Root(t), "e2e", "faults", "models")
	nodes := c.Queries
	if c.Server != nil {
		nodes = append([]*cluster.Process{c.Server}, nodes...)
	}
	target, collections := suite.Target{URL: c.WriteURLs()[0]}, searchable(t)
	for _, p := range nodes {
		p.Stop()
		p.Set("CLUSTERLITE_MODELS_DIR", folder)
		p.Set("CLUSTERLITE_COLLECTIONS", collections)
		p.Start()
		p.AwaitReady()
	}
	eventually(t, "a write after the restarts", func() bool {
		r, err := suite.Send("POST", target.URL+"/users", suite.UserBody("Ada", suite.Email()))
		return err == nil && r.Status == 201
	})
	modelsVerify(t, c, len(nodes))
	t.Run("follow rows", func(t *testing.T) { followRows(t, c.URL) })
	t.Run("search", func(t *testing.T) { searchPages(t, c.URL) })

	e := target.Create(t, "Ada")
	target.Do(t, "PATCH", "/users/"+e.ID, `{"name":"Augusta"}`).Want(t, 200)
	rebuild(t, c, int(c.Queries[0].Status().Position), "--node", c.Queries[0].Node())
	target.Do(t, "DELETE", "/users/"+e.ID, "").Want(t, 204)
	modelsVerify(t, c, len(nodes))
}

// modelsVerify checks that verify finds the model equal on all nodes.
func modelsVerify(t *testing.T, c *cluster.Cluster, nodes int) {
	t.Helper()
	var result struct {
		Models []struct {
			Model, Result, Detail string
			Digests               []struct{ Node, Digest string }
		}
	}
	// A node whose model is not built yet has no digest.
	eventually(t, "the model is equal on all nodes", func() bool {
		cmd := c.Tool(t, cluster.Topic, "model", "verify", "--wait", "20s", "--output", "json")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Logf("got %v from model verify: %s %s", err, out, said.String())
			return false
		}
		if err := json.Unmarshal(out, &result); err != nil {
			t.Fatalf("got %s: %v", out, err)
		}
		return len(result.Models) == 2 && len(result.Models[0].Digests) == nodes && len(result.Models[1].Digests) == nodes
	})
	names := []string{}
	for _, m := range result.Models {
		if names = append(names, m.Model); m.Result != "equal" || m.Digests[0].Digest == "" {
			t.Errorf("got %+v from verify, want the model to be equal", m)
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"_search_products", "mirror"}) {
		t.Errorf("got the models %v from verify, want the index of products and mirror", names)
	}
}
