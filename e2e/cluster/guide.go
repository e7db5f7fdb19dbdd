package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A Guide is a page of docs/how-to whose shell blocks a test runs. In the blocks, the addresses and
// paths of the page are replaced by those of the test. Blocks that follow a mark, such as
// <!-- runbook -->, are also run by other tests.
type Guide struct {
	page   string
	blocks []string // those without a mark; empty if they were run
	marked []string
}

// ReadGuide reads a page. The replacements are pairs of texts, as for [strings.NewReplacer]; the page
// must contain the first text of each pair.
func ReadGuide(t testing.TB, page string, replacements ...string) *Guide {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "docs", "how-to", page))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(string(text), replacements[i]) {
			t.Fatalf("%s does not contain %q", page, replacements[i])
		}
	}
	g := &Guide{page: page}
	for _, block := range shellBlock.FindAllSubmatch(text, -1) {
		text := strings.NewReplacer(replacements...).Replace(string(block[2]))
		if len(block[1]) == 0 {
			g.blocks = append(g.blocks, text)
		} else {
			g.marked = append(g.marked, text)
		}
	}
	return g
}

// shellBlock matches a shell block of a page, with the mark before it, if any. The block may be part of a list.
var shellBlock = regexp.MustCompile("(?ms)^(?: *(<!-- [^\n]* -->)\n)? *```sh\n(.*?)^ *```$")

// Block returns the first block that contains a text, and notes that it was run. Blocks without a mark
// come first.
func (g *Guide) Block(t testing.TB, text string) string {
	t.Helper()
	for _, blocks := range [][]string{g.blocks, g.marked} {
		for i, block := range blocks {
			if strings.Contains(block, text) {
				blocks[i] = ""
				return block
			}
		}
	}
	t.Fatalf("%s has no block with %q that is still to be run", g.page, text)
	return ""
}

// Unread returns the number of blocks without a mark that were not run yet.
func (g *Guide) Unread() (n int) {
	for _, block := range g.blocks {
		if block != "" {
			n++
		}
	}
	return n
}

// Settings adds the variables that a block exports to settings, in the way that a shell would. The text
// selects the block.
func (g *Guide) Settings(t testing.TB, settings map[string]string, text string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", g.Block(t, text)+"\nexport -p")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", g.page, err, out)
	}
	for _, export := range regexp.MustCompile(`(?m)^declare -x (CLUSTERLITE_\w+)="(.*)"$`).FindAllStringSubmatch(string(out), -1) {
		settings[export[1]] = export[2]
	}
}

// Run runs a block in a folder, with the programs of the test in the path. The text selects the block.
func (g *Guide) Run(t testing.TB, dir, text string, env ...string) string {
	t.Helper()
	return g.RunAfter(t, "", dir, text, env...)
}

// RunAfter runs a block as [Guide.Run] does, after a preamble in the same shell.
func (g *Guide) RunAfter(t testing.TB, preamble, dir, text string, env ...string) string {
	t.Helper()
	block := g.Block(t, text)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", preamble+"\n"+block)
	cmd.Dir = dir
	cmd.Env = append(environment(), "PATH="+filepath.Dir(Binary(t, "clusterlite"))+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", g.page, err, block, out)
	}
	return string(out)
}

// Complete fails the test if blocks without a mark are left that were not run, except those with one of
// these texts, which another test runs.
func (g *Guide) Complete(t testing.TB, others ...string) {
	t.Helper()
blocks:
	for _, block := range g.blocks {
		for _, other := range others {
			if strings.Contains(block, other) {
				continue blocks
			}
		}
		if block != "" {
			t.Errorf("%s: got a block that no test runs:\n%s", g.page, block)
		}
	}
}
