package cli_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// The command lines and variables that the documentation shows are those of the tool: each block of
// shell commands is read as a shell would, and each clusterlite in it is parsed, but not run. Other
// tests run many of the blocks; this one also covers those that need another host.
func TestCommandsInTheDocumentation(t *testing.T) {
	root := filepath.Join("..", "..")
	lines, blocks := 0, 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "decisions"}, entry.Name()) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" || entry.Name() == "CHANGELOG.md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, block := range shellBlock.FindAllStringSubmatchIndex(string(text), -1) {
			blocks++
			line := 2 + strings.Count(string(text[:block[0]]), "\n")
			t.Run(filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator))), func(t *testing.T) {
				lines += checkBlock(t, string(text[block[2]:block[3]]), line)
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if blocks < 60 || lines < 60 {
		t.Errorf("got %d blocks with %d command lines of the tool, want at least 60 of each", blocks, lines)
	}
}

func TestMistakesInTheDocumentationAreFound(t *testing.T) {
	for block, says := range map[string]string{
		"clusterlite statsu":                                       "statsu",
		"sudo clusterlite status --no-such-flag":                   "--no-such-flag",
		"export CLUSTERLITE_LOG_LEVLE=debug":                       "CLUSTERLITE_LOG_LEVLE",
		"X=1 CLUSTERLITE_KAFKA_BROKER=k clusterlite status | head": "CLUSTERLITE_KAFKA_BROKER",
		"export CLUSTERLITE_DRAIN_WAIT=soon":                       "soon",
		"if true; then (clusterlite rebuild --rate=\"a lot\"); fi": "a lot",
		"docker compose run --rm tool rebuild --nod query-1":       "--nod",
		"bin/clusterlite serve --collection":                       "--collection",
		"echo 'not closed":                                         "quote",
	} {
		if got := strings.Join(mistakes(block), "\n"); !strings.Contains(got, says) {
			t.Errorf("%s: got %q, want a mistake about %s", block, got, says)
		}
	}
}

// someKey stands for the output of all commands: the tool accepts it wherever a block passes one on.
const someKey = "clk_069jr1s0kxxjq71z38nkrkaydw"

// shellBlock matches a block of shell commands.
var shellBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$")

// checkBlock reports the mistakes in a block that begins at a line. It returns the number of command
// lines of the tool.
func checkBlock(t *testing.T, block string, line int) int {
	t.Helper()
	for _, m := range mistakes(block) {
		t.Errorf("block at line %d: %s", line, m)
	}
	return strings.Count(block, "clusterlite ")
}

// mistakes returns what is wrong in a block.
func mistakes(block string) (found []string) {
	file, err := syntax.NewParser().Parse(strings.NewReader(block), "")
	if err != nil {
		return []string{err.Error()}
	}
	exported := map[string]string{}
	value := func(environment map[string]string, words ...*syntax.Word) []string {
		fields, err := expand.Fields(&expand.Config{
			Env: expand.FuncEnviron(func(name string) string {
				switch v, set := environment[name]; {
				case set:
					return v
				case name == "IFS":
					return "" // spaces, as usual
				}
				return "1"
			}),
			CmdSubst:  func(w io.Writer, _ *syntax.CmdSubst) error { _, err := io.WriteString(w, someKey); return err },
			ProcSubst: func(*syntax.ProcSubst) (string, error) { return os.DevNull, nil },
		}, words...)
		if err != nil {
			found = append(found, err.Error())
		}
		return fields
	}
	assign := func(to map[string]string, assignments []*syntax.Assign) {
		for _, a := range assignments {
			if a.Name == nil || a.Value == nil {
				continue
			}
			to[a.Name.Value] = strings.Join(value(exported, a.Value), " ")
		}
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.DeclClause: // export
			assign(exported, n.Args)
		case *syntax.CallExpr:
			own := map[string]string{}
			for k, v := range exported {
				own[k] = v
			}
			if assign(own, n.Assigns); len(n.Args) == 0 {
				assign(exported, n.Assigns)
				return true
			}
			if args, ours := ofTool(value(own, n.Args...)); ours {
				found = append(found, parse(own, args)...)
			}
		}
		return true
	})
	// Services take their settings from the environment of the block.
	if slices.ContainsFunc(names(exported), func(name string) bool { return strings.HasPrefix(name, "CLUSTERLITE_") }) {
		for _, command := range []string{"serve", "status"} { // status has the settings for Kafka
			found = append(found, parse(exported, []string{command})...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func names(environment map[string]string) (names []string) {
	for name := range environment {
		names = append(names, name)
	}
	return names
}

// ofTool returns the arguments of a command line of the tool. ours is false for any other program.
func ofTool(fields []string) (args []string, ours bool) {
	line := strings.Join(fields, "\x00")
	for _, start := range []string{
		"clusterlite\x00", "sudo\x00clusterlite\x00", "./clusterlite\x00", "docker\x00compose\x00run\x00--rm\x00tool\x00", "bin/clusterlite\x00",
	} {
		if rest, ok := strings.CutPrefix(line, start); ok {
			return strings.Split(rest, "\x00"), true
		}
	}
	return nil, false
}

// parse parses arguments as the tool would in an environment, and returns what it refuses, and the
// variables that it does not know.
func parse(environment map[string]string, args []string) (found []string) {
	for name, v := range environment {
		if strings.HasPrefix(name, "CLUSTERLITE_") {
			was, set := os.LookupEnv(name)
			if err := os.Setenv(name, v); err != nil {
				return []string{err.Error()}
			}
			defer func() {
				_ = os.Unsetenv(name)
				if set {
					_ = os.Setenv(name, was)
				}
			}()
		}
	}
	var said bytes.Buffer
	_, err := settings.Program{Name: "clusterlite", HTTPAddr: ":8080", AdminAddr: "127.0.0.1:9080"}.Parse(&cli.Grammar{}, args, io.Discard, &said)
	if err != nil && !errors.Is(err, settings.ErrHelp) {
		found = append(found, strings.Join(args, " ")+": "+err.Error()+" "+said.String())
	} else if strings.Contains(said.String(), "warning") {
		found = append(found, said.String())
	}
	return found
}
