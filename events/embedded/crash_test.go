package embedded

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// TestMain is also the broker that TestPowerLoss traces. It serves a folder until its input
// ends, and then stops cleanly.
func TestMain(m *testing.M) {
	dir := os.Getenv("CLUSTERLITE_TEST_BROKER")
	if dir == "" {
		os.Exit(m.Run())
	}
	b, err := Start(dir, "127.0.0.1:0", slog.Default())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(b.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	b.Close()
}

// TestPowerLoss records the system calls of a broker that takes writes, is stopped, takes more
// writes, and is killed. From these calls the test builds the states that a disk can hold after a
// power loss at any moment: everything that was synced, and any part of the rest, including torn
// writes and zeros. On each state the broker must start with every record that it had
// acknowledged by then, or refuse to start.
//
// A record counts as acknowledged once the broker begins to write the answer to a socket. The
// test simulates two kinds of file systems: one where each sync also persists all earlier names
// in order, as ext4 and XFS do, and one where it persists only the names of what was synced. It
// does not simulate a disk that loses data that it reported as synced, or a write to one file
// that destroys another file.
//
// CLUSTERLITE_CRASHES=10000 tests more states.
func TestPowerLoss(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	limit := 60
	if text := os.Getenv("CLUSTERLITE_CRASHES"); text != "" {
		if _, err := fmt.Sscan(text, &limit); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "broker")
	trace := &trace{dir: dir}
	var all []string
	all = append(all, lifetime(t, strace, trace, 0, 14, true)...)
	all = append(all, lifetime(t, strace, trace, 14, 10, false)...)
	if acks := trace.acknowledged(len(trace.ops)); acks != len(all) {
		t.Fatalf("got %d acknowledgements in the trace, want %d", acks, len(all))
	}

	random := rand.New(rand.NewPCG(7, 7))
	seen := map[string]bool{}
	var started, refused int
	for tries := 0; len(seen) < limit && tries < 20*limit && !t.Failed(); tries++ {
		at := 1 + random.IntN(len(trace.ops))
		inOrder, how := random.IntN(2) == 0, random.IntN(4)
		files := trace.crash(at, inOrder, how, random)
		key := fmt.Sprint(trace.acknowledged(at), files)
		if seen[key] {
			continue
		}
		seen[key] = true
		d := survives(t, files, all, trace.acknowledged(at))
		switch {
		case d == nil:
			started++
		case how == 0:
			t.Errorf("got the refusal %v of the files of a killed process, want a start", d)
		default:
			refused++
			if os.Getenv("CLUSTERLITE_CRASHES") != "" {
				t.Logf("refused after call %d (%v), in order %v: %s byte %d: %s", at, trace.ops[at-1], inOrder, filepath.Base(d.File), d.Offset, d.Found)
			}
		}
		if t.Failed() {
			t.Logf("after call %d of %d (%v), names in order: %v, kind %d", at, len(trace.ops), trace.ops[at-1], inOrder, how)
		}
	}
	t.Logf("%d calls, %d acknowledged records, %d states: %d started, %d refused", len(trace.ops), len(all), len(seen), started, refused)
	if started < len(seen)/2 {
		t.Errorf("got %d refusals of %d states, want at most half", refused, len(seen))
	}
}

// lifetime runs a broker under strace, writes n records to it, and stops or kills it.
func lifetime(t *testing.T, strace string, into *trace, from, n int, clean bool) []string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "calls")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-xx", "-s", "1000000", "-o", out,
		"-e", "trace=openat,write,ftruncate,fsync,fdatasync,renameat,renameat2,rename,unlinkat,unlink,mkdirat,mkdir", self)
	cmd.Env = append(os.Environ(), "CLUSTERLITE_TEST_BROKER="+into.dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	versions := kversion.V2_8_0() // its answers to Produce contain the topic's name
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimSpace(addr)), kgo.DefaultProduceTopic(testTopic), kgo.ProducerLinger(0), kgo.MaxVersions(versions), kgo.DisableIdempotentWrite())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if from == 0 {
		makeTopic(t, c, "segment.bytes", "500")
	}
	values := write(t, c, from, n)
	if clean {
		// The mark is complete before the clean stop.
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if m, err := readMark(into.dir); err == nil && m != nil && m.Topics != nil && len(m.Partitions) == 1 && m.Partitions[0].End == int64(from+n) {
				break
			}
			if time.Now().After(end) {
				t.Fatal("got no complete mark within a minute, want one")
			}
		}
		c.Close()
		_ = stdin.Close()
	} else {
		// Kill only strace's child, so that strace itself can write its file to the end.
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "kill", append([]string{"-9"}, strings.Fields(string(children))...)...).CombinedOutput(); err != nil {
			t.Fatalf("got %v and the output %s from kill, want no error", err, out)
		}
	}
	err = cmd.Wait()
	ended = true
	if clean && err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	into.parse(string(b))
	return values
}

// survives starts a broker on the files that a crash left behind. The broker must have all
// acknowledged records, and may have more of those that were written, or it must refuse to start
// and change nothing.
func survives(t *testing.T, files map[string]string, all []string, acknowledged int) *DamagedError {
	t.Helper()
	dir := lay(t, files)
	b, err := Start(dir, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		var damaged *DamagedError
		if !errors.As(err, &damaged) {
			t.Errorf("got %v, want a DamagedError", err)
		} else if !maps.Equal(contents(t, dir), files) {
			t.Errorf("got a changed folder after the refusal %v, want it unchanged", err)
		}
		return damaged
	}
	defer b.Close()
	got := values(read(t, b))
	if len(got) < acknowledged || len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
		t.Errorf("got %d records, want at least the %d that were acknowledged, in order", len(got), acknowledged)
	}
	return nil
}
