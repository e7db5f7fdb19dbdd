package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor times in /proc, which is the same on all of Linux's
// platforms that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is the processor time that the processes have used so far. A process that has
// ended counts for nothing.
func cpuTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		sum += parseCPUTime(string(b))
	}
	return sum
}

// parseCPUTime reads /proc/PID/stat: the name, in brackets, may have blanks in it.
func parseCPUTime(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick
}

// residentMiB is the memory of the processes that is not swapped out.
func residentMiB(pids []int) (sum float64, err error) {
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

// awaitExit waits until a process that was killed is gone, which takes a moment.
func awaitExit(pid int) {
	for range 1000 {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
