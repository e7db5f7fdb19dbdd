package clitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// Tool runs a subcommand on a broker and decodes its result.
func Tool(t testing.TB, b *servicetest.Broker, into any, args ...string) error {
	t.Helper()
	return ToolAlone(t, into, append(args, "--kafka-brokers="+b.Addr())...)
}

// ToolAlone runs a subcommand that needs no broker and decodes its result.
func ToolAlone(t testing.TB, into any, args ...string) error {
	t.Helper()
	var stdout bytes.Buffer
	err := cli.Run(servicetest.Context(t), append(args, "--output=json"), &stdout, io.Discard)
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
			t.Fatalf("decode the result: %v: %s", err, stdout.String())
		}
	}
	return err
}

// CheckUsage checks that a subcommand rejects each of these arguments as a usage error.
func CheckUsage(t testing.TB, name string, all [][]string) {
	t.Helper()
	for _, args := range all {
		var usage *settings.UsageError
		if err := cli.Run(t.Context(), append([]string{name}, args...), io.Discard, io.Discard); !errors.As(err, &usage) {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
}
