package readmodel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/readmodel"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// output collects what a subcommand prints while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until a condition holds, and returns whether it does.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) { // polling
		if time.Now().After(end) {
			t.Fatalf("got no %s within 30 seconds", what)
		}
	}
}

// A scheduled snapshot create takes one snapshot after the other, verifies them, removes old ones,
// and serves its metrics, until it is stopped.
func TestSnapshotsOnASchedule(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := clitest.StartNodes(t, b, 3, "query-1")
	store := filepath.Join(t.TempDir(), "store")
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	ran := make(chan error, 1)
	go func() {
		ran <- cli.Run(ctx, []string{"snapshot", "create", store, "--schedule=1s", "--keep=2", "--metrics-addr=127.0.0.1:0", "--log-format=json", "--kafka-brokers=" + b.Addr()}, io.Discard, &out)
	}()
	// Each snapshot is of another position, so that the store has several.
	names := func() []string {
		found, err := filepath.Glob(filepath.Join(store, "*.snapshot"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	stored := func() int { return strings.Count(out.String(), "stored and verified a snapshot") }
	for n := range 3 {
		await(t, fmt.Sprintf("snapshot %d", n+1), func() bool { return stored() > n })
		end := clitest.AppendUsers(t, running[0].Log, 1)
		if err := running[0].Model.WaitFor(servicetest.Context(t), end); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "removed snapshot", func() bool { return strings.Contains(out.String(), `"removed":1`) })
	if n := len(names()); n < 2 || n > 3 {
		t.Errorf("got %d snapshots, want two, or three while one is added", n)
	}
	address := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(out.String())
	if address == nil {
		t.Fatalf("got the log\n%s\nwant it to name the address of the metrics", out.String())
	}
	metrics := string(clitest.Request(t, http.MethodGet, "http://"+address[1]+"/metrics", ""))
	for _, line := range []string{`clusterlite_snapshot_attempts_total{result="failed"} 0`, `clusterlite_snapshot_newest_timestamp_seconds 1`, `clusterlite_snapshot_last_bytes `} {
		if !strings.Contains(metrics, line) {
			t.Errorf("got metrics without %q:\n%s", line, metrics)
		}
	}
	if ready := string(clitest.Request(t, http.MethodGet, "http://"+address[1]+"/readyz", "")); !strings.Contains(ready, "true") {
		t.Errorf("got %s, want that it is ready", ready)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("got %v, want nil once it is stopped", err)
	}
}

// One snapshot create can also verify the snapshot and remove old ones.
func TestSnapshotCreateWithRetention(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := clitest.StartNodes(t, b, 3, "query-1")
	store := filepath.Join(t.TempDir(), "store")
	var last readmodel.Stored
	for i := range 4 {
		end := clitest.AppendUsers(t, running[0].Log, 1)
		if err := running[0].Model.WaitFor(servicetest.Context(t), end); err != nil {
			t.Fatal(err)
		}
		last = readmodel.Stored{}
		if err := clitest.Tool(t, b, &last, "snapshot", "create", store, "--keep=2"); err != nil || !last.Verified || (len(last.Removed) == 1) != (i > 1) {
			t.Fatalf("snapshot %d: got %+v, %v, want it verified, and one removed from the third on", i+1, last, err)
		}
	}
	var v readmodel.Verified
	if err := clitest.ToolAlone(t, &v, "snapshot", "verify", store, "--all"); err != nil || len(v.Snapshots) != 2 || v.Snapshots[0].Entities != 7 || v.Snapshots[0].Log {
		t.Errorf("got %+v, %v, want two sound snapshots, the newest with 7 entities", v, err)
	}
	if err := clitest.Tool(t, b, &v, "snapshot", "verify", store, "--deep"); err != nil || len(v.Snapshots) != 1 || !v.Snapshots[0].Log || v.Snapshots[0].Name != last.Name {
		t.Errorf("got %+v, %v, want the newest one, compared with the log", v, err)
	}
	other := servicetest.StartBroker(t)
	clitest.StartNodes(t, other, 1, "query-9")
	if err := clitest.Tool(t, other, &v, "snapshot", "verify", store, "--deep"); !errors.Is(err, process.ErrReported) || v.Snapshots[0].Problem == "" {
		t.Errorf("with another log: got %+v, %v, want a problem", v, err)
	}
	// A truncated snapshot is a finding, and so is one that is no snapshot.
	if err := os.Truncate(filepath.Join(store, last.Name), last.Bytes-1); err != nil {
		t.Fatal(err)
	}
	if err := clitest.ToolAlone(t, &v, "snapshot", "verify", store); !errors.Is(err, process.ErrReported) || !strings.Contains(v.Snapshots[0].Problem, "corrupt") {
		t.Errorf("got %+v, %v, want a corrupt snapshot", v, err)
	}
	var gone readmodel.Pruned
	if err := clitest.ToolAlone(t, &gone, "snapshot", "prune", store, "--keep=1"); err != nil || len(gone.Removed) != 0 {
		t.Errorf("got %+v, %v, want nothing removed, because the older one is the newest that can be restored", gone, err)
	}
}

func TestFlagsOfScheduledSnapshots(t *testing.T) {
	for _, args := range [][]string{
		{"--schedule=often"}, {"--schedule=0s"}, {"--schedule=1h", "--data-dir=x"}, {"--metrics-addr=127.0.0.1:0"}, {"--keep=-1"}, {"--keep=0"}, {"--keep-for=x"}, {"--schedule=1h", "--deadline=0s"},
		{"--schedule=1h", "--metrics-addr=nowhere"},
	} {
		var usage *settings.UsageError
		if err := cli.Run(t.Context(), append([]string{"snapshot", "create", t.TempDir()}, args...), io.Discard, io.Discard); !errors.As(err, &usage) {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
}
