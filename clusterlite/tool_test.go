package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Every subcommand keeps to the conventions of the tool.
func TestSubcommands(t *testing.T) {
	var g grammar
	parser, err := kong.New(&g, kong.Vars{"http_addr": "", "admin_addr": "", "version": ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(true) {
		name := command.Path()
		args := strings.Fields(name)
		t.Run(name, func(t *testing.T) {
			var help bytes.Buffer
			if err := run(t.Context(), append(args, "--help"), &help, io.Discard); !errors.Is(err, settings.ErrHelp) {
				t.Fatal(err)
			}
			var usage *settings.UsageError
			if err := run(t.Context(), append(args, "--no-such-flag"), io.Discard, io.Discard); !errors.As(err, &usage) {
				t.Errorf("an unknown flag: got %v", err)
			}
			if name == "serve" || name == "healthcheck" || strings.HasPrefix(name, "completion") {
				return // they have no result
			}
			for _, part := range []string{"clusterlite " + name, "Example", "--output"} {
				if !strings.Contains(help.String(), part) {
					t.Errorf("want %q in --help:\n%s", part, help.String())
				}
			}
		})
	}
}

type outcome struct {
	Name string `json:"name"`
}

func (o outcome) Text(w io.Writer) error {
	_, err := fmt.Fprintln(w, "it is", o.Name)
	return err
}

type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestPrint(t *testing.T) {
	for format, want := range map[string]string{"text": "it is <a>\n", "json": "{\n  \"name\": \"<a>\"\n}\n"} {
		var stdout bytes.Buffer
		if err := (output{format}).print(streams{stdout: &stdout}, outcome{"<a>"}); err != nil || stdout.String() != want {
			t.Errorf("%s: %q, %v", format, stdout.String(), err)
		}
		if err := (output{format}).print(streams{stdout: full{}}, outcome{"<a>"}); !errors.Is(err, errFull) {
			t.Errorf("%s: got %v", format, err)
		}
	}
}
