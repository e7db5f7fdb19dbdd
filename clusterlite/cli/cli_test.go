package cli_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"healthcheck", "--help"}, {"reindex", "--help"}, {"--version"}} {
		var out bytes.Buffer
		if err := cli.Run(t.Context(), args, &out, io.Discard); !errors.Is(err, settings.ErrHelp) || !strings.Contains(out.String(), "clusterlite") {
			t.Errorf("%v: got %v, want the help\n%s", args, err, out.String())
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"dance"}, {"serve", "--max-body=9GiB"}, {"serve", "extra"}} {
		var usage *settings.UsageError
		if err := cli.Run(t.Context(), args, io.Discard, io.Discard); !errors.As(err, &usage) {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	if err := cli.Run(t.Context(), []string{"healthcheck", "--admin-addr=127.0.0.1:1"}, io.Discard, io.Discard); err == nil {
		t.Error("got a healthy node, want an error")
	}
}
