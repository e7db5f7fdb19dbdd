package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor times in /proc. It is the same on all Linux platforms that
// Go supports.
const clockTick = 10 * time.Millisecond

// CPUTime returns the processor time that the processes have used so far. It leaves out
// processes that have ended.
func CPUTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		sum += parseCPUTime(string(b))
	}
	return sum
}

// parseCPUTime reads /proc/PID/stat. The name, in parentheses, may contain blanks.
func parseCPUTime(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick
}

// ResidentMiB returns the resident memory of the processes in MiB.
func ResidentMiB(pids []int) (sum float64, err error) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		kib, err := parseResident(string(b))
		if err != nil {
			return 0, err
		}
		sum += kib / 1024
	}
	return sum, nil
}

func parseResident(status string) (kib float64, err error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		}
	}
	return 0, fmt.Errorf("no VmRSS in:\n%s", status)
}

// AwaitExit waits until a killed process has ended.
func AwaitExit(pid int) {
	for range 1000 {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
