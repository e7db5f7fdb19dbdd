package cluster

import (
	"fmt"
	"os"
	"strings"
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
