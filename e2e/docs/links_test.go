// Package docs_test checks the project's documentation.
package docs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// TestLinks checks every relative link in every Markdown file of the tree: the target and the
// heading that the link names must exist. It also checks every path to a page of docs/ in other
// files, such as error messages and alerts. It sends no request to the network.
func TestLinks(t *testing.T) {
	problems, pages := broken(t, os.DirFS(cluster.Root(t)))
	for _, p := range problems {
		t.Error(p)
	}
	if pages < 30 {
		t.Errorf("got %d Markdown files, want at least 30", pages)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	tree := fstest.MapFS{
		"README.md": {Data: []byte("# Top\n\n[ok](docs/a.md#a-b-c) [twice](docs/a.md#same-1) [self](#top) [folder](docs)\n" +
			"[gone](docs/gone.md) [no heading](docs/a.md#nothing) ![image](docs/gone.png)\n\n" +
			"[by reference][ref] [outside](https://example.com/docs/gone.md)\n\n`[code](docs/code.md)`\n\n[ref]: docs/ref.md\n")},
		"docs/a.md":   {Data: []byte("# A `b`, c!\n\n## Same\n\n## Same\n\n```sh\n# Comment\n```\n\n[up](../README.md#same) [out](../../else.md)\n")},
		"x/main.go":   {Data: []byte("// See docs/a.md and docs/b.md.\nconst help = \"docs/a.md#same, docs/a.md#other\"\n")},
		".git/x.md":   {Data: []byte("[gone](gone.md)\n")},
		"x/binary.db": {Data: []byte("\x00docs/none.md")},
	}
	got, _ := broken(t, tree)
	want := []string{
		"README.md: docs/gone.md does not exist",
		"README.md: docs/a.md has no heading #nothing",
		"README.md: docs/gone.png does not exist",
		"README.md: docs/ref.md does not exist",
		"docs/a.md: README.md has no heading #same",
		"docs/a.md: ../else.md is outside the tree",
		"x/main.go: docs/b.md does not exist",
		"x/main.go: docs/a.md has no heading #other",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// mention matches paths of pages where a path is relative to the root of the tree: in code,
// comments and configuration, and in URLs of the repository.
var mention = regexp.MustCompile(`\bdocs/[\w./-]+\.(?:md|yaml)(?:#[\w-]+)?`)

// skipped lists folders with third-party files and folders with the data of a process.
var skipped = []string{".git", "node_modules", "testdata", "clusterlite-data"}

const largest = 1 << 20 // larger files are not written by hand

// broken returns a sorted list of the broken links in a tree, and the number of its Markdown
// files.
func broken(t *testing.T, tree fs.FS) (problems []string, pages int) {
	t.Helper()
	anchors := map[string]map[string]bool{}
	check := func(from, target, fragment string) {
		switch info, err := fs.Stat(tree, target); {
		case !fs.ValidPath(target):
			problems = append(problems, fmt.Sprintf("%s: %s is outside the tree", from, target))
		case err != nil:
			problems = append(problems, fmt.Sprintf("%s: %s does not exist", from, target))
		case fragment != "" && !info.IsDir() && path.Ext(target) == ".md":
			if anchors[target] == nil {
				_, anchors[target] = parse(read(t, tree, target))
			}
			if !anchors[target][fragment] {
				problems = append(problems, fmt.Sprintf("%s: %s has no heading #%s", from, target, fragment))
			}
		}
	}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(skipped, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !entry.Type().IsRegular() || info.Size() > largest {
			return err
		}
		content := read(t, tree, name)
		if path.Ext(name) == ".md" {
			pages++
			links, own := parse(content)
			anchors[name] = own
			for _, link := range links {
				u, err := url.Parse(link)
				if err != nil {
					problems = append(problems, fmt.Sprintf("%s: %q is not a URL", name, link))
				} else if u.Scheme == "" && u.Host == "" {
					target := name
					if u.Path != "" {
						target = path.Join(path.Dir(name), u.Path)
					}
					check(name, target, u.Fragment)
				}
			}
			return nil
		}
		if strings.HasPrefix(name, "e2e/docs/") || bytes.IndexByte(content, 0) >= 0 || !utf8.Valid(content) {
			return nil
		}
		for _, m := range mention.FindAllString(string(content), -1) {
			target, fragment, _ := strings.Cut(m, "#")
			check(name, target, fragment)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(problems)
	return slices.Compact(problems), pages
}

func read(t *testing.T, tree fs.FS, name string) []byte {
	t.Helper()
	content, err := fs.ReadFile(tree, filepath.ToSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// parse returns the destinations of a page's links and images, and the anchors that GitHub
// gives its headings.
func parse(page []byte) (links []string, anchors map[string]bool) {
	anchors = map[string]bool{}
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(page))
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			links = append(links, string(n.Destination))
		case *ast.Image:
			links = append(links, string(n.Destination))
		case *ast.Heading:
			slug := anchor(plain(n, page))
			unique := slug
			for i := 1; anchors[unique]; i++ {
				unique = fmt.Sprintf("%s-%d", slug, i)
			}
			anchors[unique] = true
		}
		return ast.WalkContinue, nil
	})
	return links, anchors
}

// plain returns the text of a node without markup.
func plain(n ast.Node, page []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		if leaf, ok := n.(*ast.Text); ok && entering {
			_, _ = b.Write(leaf.Segment.Value(page)) // writes to a builder never fail
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// anchor returns the anchor that GitHub gives a heading: in lower case, without punctuation,
// with hyphens in place of spaces.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
