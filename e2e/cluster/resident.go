package cluster

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Set sets an environment variable. It takes effect at the next start.
func (p *Process) Set(name, value string) { p.env = append(p.env, name+"="+value) }

// Resident returns the current memory use of the process, and the maximum since its start, in
// bytes.
func (p *Process) Resident() (now, maximum int64) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		for name, value := range map[string]*int64{"VmRSS:": &now, "VmHWM:": &maximum} {
			if kib, ok := strings.CutPrefix(line, name); ok {
				if _, err := fmt.Sscan(kib, value); err != nil {
					p.t.Fatal(err)
				}
				*value <<= 10
			}
		}
	}
	return now, maximum
}

// CPU returns the CPU time that the process has used.
func (p *Process) CPU() time.Duration {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	return CPUOf(p.t, p.cmd.Process.Pid)
}

// CPUOf returns the CPU time that the process with this id has used.
func CPUOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may contain spaces
	fields := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * time.Second / 100 // the kernel reports hundredths of a second
}
