package cli_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Every subcommand follows the conventions of the tool.
func TestSubcommands(t *testing.T) {
	var g cli.Grammar
	parser, err := kong.New(&g, kong.Vars{"http_addr": "", "admin_addr": "", "version": ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(true) {
		name := command.Path()
		args := strings.Fields(name)
		t.Run(name, func(t *testing.T) {
			var help bytes.Buffer
			if err := cli.Run(t.Context(), append(args, "--help"), &help, io.Discard); !errors.Is(err, settings.ErrHelp) {
				t.Fatal(err)
			}
			var usage *settings.UsageError
			if err := cli.Run(t.Context(), append(args, "--no-such-flag"), io.Discard, io.Discard); !errors.As(err, &usage) {
				t.Errorf("an unknown flag: got %v, want a usage error", err)
			}
			if name == "serve" || name == "healthcheck" || name == "drain" || strings.HasPrefix(name, "completion") {
				return // these have no result
			}
			for _, part := range []string{"clusterlite " + name, "Example", "--output"} {
				if !strings.Contains(help.String(), part) {
					t.Errorf("want %q in --help:\n%s", part, help.String())
				}
			}
		})
	}
}
