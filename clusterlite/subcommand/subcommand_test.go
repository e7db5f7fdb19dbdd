package subcommand_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
)

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
		if err := (subcommand.Output{Output: format}).Print(subcommand.Streams{Stdout: &stdout}, outcome{"<a>"}); err != nil || stdout.String() != want {
			t.Errorf("%s: got %q, %v, want %q", format, stdout.String(), err, want)
		}
		if err := (subcommand.Output{Output: format}).Print(subcommand.Streams{Stdout: full{}}, outcome{"<a>"}); !errors.Is(err, errFull) {
			t.Errorf("%s: got %v, want %v", format, err, errFull)
		}
	}
}
