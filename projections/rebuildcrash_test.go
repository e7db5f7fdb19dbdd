package projections_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
)

// crashing is the environment variable that gives a child process the broker and the folder.
const crashing = "CLUSTERLITE_TEST_CRASHING"

// rebuildForever is what a child process runs: it rebuilds its projection again and again until it
// is killed.
func rebuildForever(broker, dir string) error {
	log, err := eventlog.Open(eventlog.Config{Brokers: []string{broker}, Topic: "clusterlite.events", ClientID: "crashing"})
	if err != nil {
		return err
	}
	set, err := collections.Load("")
	if err != nil {
		return err
	}
	p, err := projections.Open(context.Background(), projections.Options{Dir: dir, Log: log, Collections: set, MaxBatch: 100})
	if err != nil {
		return err
	}
	go func() { _ = p.Run(context.Background()) }()
	for p.Ready(0) != nil {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("ready")
	for i := 0; ; i++ {
		// One rebuild in three keeps the old file, and one in three goes back to it.
		o := projections.RebuildOptions{Keep: i%3 == 0, Back: i%3 == 1}
		for err := p.StartRebuild(o); err != nil; err = p.StartRebuild(o) {
			if !errors.Is(err, projections.ErrRebuilding) {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		for {
			if s, _ := p.Rebuild(); s.State == projections.RebuildFailed {
				return fmt.Errorf("rebuild %d: %s", i, s.Error)
			} else if s.State == projections.RebuildDone {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// At whatever moment a process is killed during a rebuild, the file that is then in place serves.
// No other file remains except one that was kept.
func TestACrashLeavesAFileThatServes(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	_, end := r.fill(1000)
	want, err := r.build(dir+"/want.db", offline.UntilPosition(end))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/want.db"); err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		after := time.Duration(rand.IntN(300)) * time.Millisecond
		killAfter(t, crashing+"="+r.broker.Addr()+" "+dir, after)
		n := r.node(dir, 0)
		if n.Position() > end || n.Position() == 0 {
			t.Errorf("round %d, killed after %v: got position %d, want 1 to %d", round, after, n.Position(), end)
		}
		if got := n.at(end).digest(); got != want.Collections["users"].Digest.String() {
			t.Errorf("round %d, killed after %v: got digest %s, want %s", round, after, got, want.Collections["users"].Digest)
		}
		if s := n.rebuild(projections.RebuildOptions{Keep: true}); s.State != projections.RebuildDone {
			t.Errorf("round %d, killed after %v: got %+v, want it done", round, after, s)
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
		if got := files(t, dir); len(got) != 4 || !slices.Contains(got, datafolder.PreviousName) {
			t.Errorf("round %d, killed after %v: got files %v, want 4 with %s", round, after, got, datafolder.PreviousName)
		}
	}
}

// killAfter starts the test program with a variable of the environment that says what to run, and kills it some
// time after it has reported that it is ready.
func killAfter(t *testing.T, variable string, after time.Duration) {
	t.Helper()
	child := exec.CommandContext(deadline(t), os.Args[0])
	child.Env = append(os.Environ(), variable)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Errorf("got output %q, %v, want \"ready\\n\"", line, err)
	}
	time.Sleep(after) // the test varies the moment of the kill
	_ = child.Process.Kill()
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Errorf("got %v, want a process that the kill ended", err)
	}
}
