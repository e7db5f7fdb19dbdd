package readmodel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/readmodel"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestReplay(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	if _, err := log.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	end := clitest.AppendUsers(t, log, 10)
	dir := t.TempDir()
	out := filepath.Join(dir, "f.db")
	for until, want := range map[string]int{"": 10, "4": 4, "0": 0, time.Now().Add(time.Hour).Format(time.RFC3339): 10} {
		args := []string{"replay", "--out=" + out, "--force"}
		if until != "" {
			args = append(args, "--until="+until)
		}
		var result readmodel.Replayed
		if err := clitest.Tool(t, b, &result, args...); err != nil || int(result.Position) != want || result.File != out || int(result.Entities["users"]) != want {
			t.Errorf("until %q: got %v, %+v, want position %d and %[4]d users", until, err, result, want)
		}
		if n := clitest.Count(t, out); n != want {
			t.Errorf("until %q: got %d entities in the file, want %d", until, n, want)
		}
	}
	var said bytes.Buffer
	args := []string{"replay", "--until=7", "--out=" + filepath.Join(dir, "g.db"), "--kafka-brokers=" + b.Addr()}
	if err := cli.Run(servicetest.Context(t), args, &said, io.Discard); err != nil || !strings.Contains(said.String(), "up to position 7, log time 20") || !strings.Contains(said.String(), "users: 7 entities, digest ") {
		t.Errorf("got %v: %s, want 7 users at position 7", err, said.String())
	}

	// There is no state before the first record of the log, so no file is written.
	for _, until := range []string{"1h", "2000-01-01T00:00:00Z"} {
		var result readmodel.Replayed
		for _, args := range [][]string{{"replay", "--out=" + out, "--force"}, {"replay", "--out=" + out + "2"}, {"events", "export", "--out=" + out + ".jsonl"}} {
			err := clitest.Tool(t, b, &result, append(args, "--until="+until)...)
			if err == nil || !strings.Contains(err.Error(), "the log begins at 20") || !strings.Contains(err.Error(), "No file was written") {
				t.Errorf("until %q: got %v, want an error that says when the log begins", until, err)
			}
			var usage *settings.UsageError
			if errors.As(err, &usage) {
				t.Errorf("until %q: got the usage error %v, want another error", until, err)
			}
		}
	}
	said.Reset()
	args = []string{"events", "tail", "--from=0", "--until=1h", "--no-follow", "--kafka-brokers=" + b.Addr()}
	if err := cli.Run(servicetest.Context(t), args, io.Discard, &said); err != nil || !strings.Contains(said.String(), "the log begins at 20") {
		t.Errorf("tail: %v: %q, want a note that says when the log begins", err, said.String())
	}
	said.Reset()
	if err := cli.Run(servicetest.Context(t), []string{"replay", "--until=2100-01-01T00:00:00Z", "--force", "--out=" + out, "--kafka-brokers=" + b.Addr()}, io.Discard, &said); err != nil || !strings.Contains(said.String(), "is in the future") {
		t.Errorf("a time in the future: got %v: %s, want a warning", err, said.String())
	}
	if n := clitest.Count(t, out); n != 10 {
		t.Errorf("a time in the future: got %d entities, want 10", n)
	}

	var result readmodel.Replayed
	if err := clitest.Tool(t, b, &result, "replay", "--out="+out); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("an existing file: got %v, want an error that names --force", err)
	}
	if err := clitest.Tool(t, b, &result, "replay", "--out="+out+"2", "--until=11"); err == nil || !strings.Contains(err.Error(), "ends at position 10") {
		t.Errorf("beyond %d: got %v, want an error that names the end", end, err)
	}
	if err := clitest.Tool(t, b, &result, "replay", "--out="+out+"2", "--kafka-topic=other"); err == nil || !strings.Contains(err.Error(), "topic other does not exist") {
		t.Errorf("another topic: got %v, want an error that says that it does not exist", err)
	}
	if err := clitest.Tool(t, b, &result, "replay", "--out="+filepath.Join(dir, "no", "f.db")); err == nil {
		t.Error("a missing folder: got no error, want one")
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cli.Run(given, []string{"replay", "--out=" + out + "2", "--kafka-brokers=" + b.Addr()}, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want %v", err, context.Canceled)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("got the files %v, %v, want two", entries, err)
	}
	clitest.CheckUsage(t, "replay", [][]string{{}, {"--out=" + out, "--until=yesterday"}, {"--out=" + out, "--until=-3"}, {"--out=" + out, "--output=xml"}})
}
