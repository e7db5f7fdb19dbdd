package cli_test

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/serve"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// docs/reference/settings.md has a row for each variable of the services, and no other rows.
func TestSettingsAreDocumented(t *testing.T) {
	want := append(variables(reflect.TypeFor[serve.Command]()), variables(reflect.TypeFor[settings.Kafka]())...)
	slices.Sort(want)
	want = slices.Compact(want)
	if len(want) < 20 {
		t.Fatalf("got %d variables in the code, want at least 20", len(want))
	}
	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(CLUSTERLITE_[A-Z_]+)` \\| ").FindAllStringSubmatch(page(t, "settings.md"), -1) {
		got = append(got, row[1])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/reference/settings.md has the rows\n%q\nwant a row for each setting:\n%q", got, want)
	}
}

// variables returns the environment variables in the tags of a struct and of its nested
// structs.
func variables(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("env"); name != "" {
			names = append(names, name)
		}
		if f.Type.Kind() == reflect.Struct {
			names = append(names, variables(f.Type)...)
		}
	}
	return names
}

// docs/reference/cli.md describes each subcommand.
func TestSubcommandsAreDocumented(t *testing.T) {
	var help bytes.Buffer
	if err := cli.Run(t.Context(), []string{"--help"}, &help, &help); !errors.Is(err, settings.ErrHelp) {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(help.String(), "Commands:\n")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)(?:  |$)`).FindAllStringSubmatch(list, -1)
	if len(commands) < 15 {
		t.Fatalf("got %d subcommands in the help, want at least 15:\n%s", len(commands), &help)
	}
	cli := page(t, "cli.md")
	for _, c := range commands {
		if !strings.Contains(cli, "`"+c[1]+"`") {
			t.Errorf("got docs/reference/cli.md without `%s`", c[1])
		}
	}
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/reference/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
