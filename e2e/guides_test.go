package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// A guided runs the blocks of a guide, each in a shell of its own.
type guided struct {
	*cluster.Guide
	env []string
}

// guide reads a page whose blocks run with these variables.
func guide(t *testing.T, env []string, page string, replacements ...string) guided {
	t.Helper()
	return guided{cluster.ReadGuide(t, page, replacements...), env}
}

// in runs the block with this text in a folder, between two other scripts, and returns its output. The
// processes that it leaves behind run until the test ends.
func (g guided) in(t *testing.T, dir, before, text, after string) string {
	t.Helper()
	return runAll(t, dir, g.env, before+"\n"+strings.TrimSpace(g.Block(t, text))+after)
}

func (g guided) run(t *testing.T, text string) string {
	t.Helper()
	return g.in(t, t.TempDir(), "", text, "\n")
}

// says runs a block, which must print all of these.
func (g guided) says(t *testing.T, text string, want ...string) {
	t.Helper()
	out := g.run(t, text)
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("%q: got no %q in the output, want it:\n%s", text, w, out)
		}
	}
}

// A guidedStore is the store that the guides find: one process and two query nodes.
type guidedStore struct {
	*cluster.Cluster
	env []string // of the shells
	ada string   // the id of an entity with four versions, which was deleted and restored
}

func newGuidedStore(t *testing.T) guidedStore {
	t.Helper()
	c := cluster.Serve(t)
	c.AddQuery() // query-1 does not run
	for range 2 {
		p := c.AddQuery()
		p.Set("CLUSTERLITE_PPROF", "true")
		p.Start()
	}
	for _, p := range c.Queries[1:] {
		p.AwaitReady()
	}
	importUsers(t, c.URL, 20)
	env := append(os.Environ(), "CLUSTERLITE_KAFKA_BROKERS="+c.Brokers)
	return guidedStore{Cluster: c, env: env}
}

// awaitNodes waits until these nodes have announced themselves. A node may be ready before that.
func (s *guidedStore) awaitNodes(t *testing.T, names ...string) {
	t.Helper()
	eventually(t, "the nodes are found, and all is well", func() bool {
		out, _, status := tool(t, s.Cluster, "status")
		return status == 0 && !slices.ContainsFunc(names, func(name string) bool { return !strings.Contains(out, name) })
	})
}

func admin(p *cluster.Process) string { return strings.TrimPrefix(p.Admin, "http://") }

// TestGuides runs the blocks of guides that no other test runs, on one store.
func TestGuides(t *testing.T) {
	s := newGuidedStore(t)
	s.awaitNodes(t, "all-1", "query-2", "query-3")
	for _, guide := range []struct {
		name string
		run  func(*guidedStore, *testing.T)
	}{
		{"PrepareKafka", (*guidedStore).prepareKafka},
		{"VerifyNodes", (*guidedStore).verifyNodes},
		{"LookAtHistory", (*guidedStore).lookAtHistory},
		{"FollowChanges", (*guidedStore).followChanges},
		{"InspectTheLog", (*guidedStore).inspectTheLog},
		{"ReplayToAPointInTime", (*guidedStore).replay},
		{"ProfileANode", (*guidedStore).profile},
		{"TraceRequests", (*guidedStore).trace},
		{"SizeANode", (*guidedStore).size},
		{"BackUpWithSnapshots", (*guidedStore).backUp},
		{"HandleADamagedProjection", (*guidedStore).repair},
		{"AddOrRemoveANode", (*guidedStore).removeNodes},
		{"Troubleshoot", (*guidedStore).troubleshoot},
		{"RecoverADamagedEmbeddedLog", (*guidedStore).recoverLog},
		{"RestoreAfterLogLoss", (*guidedStore).restoreServe},
	} {
		if !t.Run(guide.name, func(t *testing.T) { guide.run(&s, t) }) {
			return // each guide uses the store that the one before left
		}
	}
}

// Blocks of these pages run elsewhere, or not at all.
var blocksElsewhere = map[string]string{
	"add-a-read-model.md":    "TestTheGuideToReadModels in clusterlite/serve reads the page",
	"install.md":             "make package-check runs the marked blocks, and builds the packages as the one does that is not marked",
	"make-a-field-unique.md": "clusterlite/operator/topic/reindex_test.go calls the same commands in the same order",
	"monitor.md":             "make deploy-check runs the block",
	"release.md":             "CI runs make release-check; images are pushed only by a release",
	"run-on-kubernetes.md":   "make kubernetes-cluster runs the blocks",
	"run-with-compose.md":    "e2e/compose calls the same commands with a project of its own",
	"send-webhooks.md":       "TestRunbookOfWebhooks runs the marked blocks, and sets the variable of the one that is not marked",
}

// guideRead matches the name of a page where a test reads it.
var guideRead = regexp.MustCompile(`uide\(t, (?:.*, )?"([a-z-]+\.md)"`)

// TestEveryGuideRuns finds pages with shell blocks that no test runs.
func TestEveryGuideRuns(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(howTo, "*.md"))
	if err != nil || len(pages) < 30 {
		t.Fatalf("got %d pages, %v; want at least 30", len(pages), err)
	}
	read := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range guideRead.FindAllSubmatch(text, -1) {
				read[string(m[1])] = true
			}
		}
	}
	for _, file := range pages {
		page := filepath.Base(file)
		unmarked := cluster.ReadGuide(t, page).Unread()
		switch {
		case read[page] && blocksElsewhere[page] != "":
			t.Errorf("%s: got a test that runs its blocks, and an exception", page)
		case !read[page] && unmarked > 0 && blocksElsewhere[page] == "":
			t.Errorf("%s: got %d blocks that no test runs", page, unmarked)
		case unmarked == 0 && blocksElsewhere[page] != "":
			t.Errorf("%s: got an exception, but no block without a mark", page)
		}
	}
}
