package process

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// slackOfThread returns the permitted delay of the timers of the calling thread, in nanoseconds.
func slackOfThread(t *testing.T) int {
	t.Helper()
	got, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTimersOfAllThreadsMayBeLate(t *testing.T) {
	var got [8]int
	var all, locked sync.WaitGroup
	locked.Add(len(got))
	for i := range got {
		all.Go(func() {
			runtime.LockOSThread() // each goroutine has a thread of its own, since all hold theirs at once
			defer runtime.UnlockOSThread()
			locked.Done()
			locked.Wait()
			got[i] = slackOfThread(t)
		})
	}
	all.Wait()
	for i, slack := range got {
		if slack != timerSlack {
			t.Errorf("thread %d: got a delay of %d ns, want %d", i, slack, timerSlack)
		}
	}
}

// TestAnOperatorsDelayRemains starts this test again as a process whose delay is set.
func TestAnOperatorsDelayRemains(t *testing.T) {
	const chosen = 70_000
	if os.Getenv("TEST_PRINT_DELAY") != "" {
		_, _ = os.Stdout.WriteString("delay " + strconv.Itoa(slackOfThread(t)) + "\n")
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := slackOfThread(t)
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, chosen, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0) }()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TEST_PRINT_DELAY=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "delay 70000\n") {
		t.Errorf("got %v and %s, want a delay of %d", err, out, chosen)
	}
}
