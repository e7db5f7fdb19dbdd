package process

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseProc(t *testing.T) {
	stat := "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 1000 0 0 0 150 50 0 0 20 0 9 0 100 1000 200 18446744073709551615"
	if got, want := parseCPUTime(stat), 2*time.Second; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := parseResident("Name:\tx\nVmRSS:\t  2048 kB\n"); err != nil || got != 2048 {
		t.Errorf("got %v, %v, want 2048", got, err)
	}
	if got, err := ResidentMiB([]int{os.Getpid()}); err != nil || got < 1 {
		t.Errorf("got %v MiB, %v for this process, want at least 1", got, err)
	}
}

// Stopping a program that started another one, as a tracer does, stops both.
func TestStopReachesWhatAProcessStarted(t *testing.T) {
	listening := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer listening.Close()
	dir := t.TempDir()
	p, err := Launch(t.Context(), dir, listening.URL, nil, "sh", "-c", `sleep 300 & echo $! >pid.new; mv pid.new pid; trap "exit 0" TERM; wait`)
	if err != nil {
		t.Fatal(err)
	}
	var child int
	for deadline := time.Now().Add(time.Minute); child == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b, _ := os.ReadFile(filepath.Join(dir, "pid"))
		child, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if child == 0 {
		t.Fatal("got no second process, want the program to start one")
	}
	p.Stop()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got process %d running after the program that started it, want it stopped", child)
		}
	}
}
