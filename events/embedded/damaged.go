package embedded

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A DamagedError reports that the broker's folder differs from what a broker wrote there.
// Nothing in the folder was changed, and the broker did not start. [Start] and [Check] return
// errors of this type.
type DamagedError struct {
	// File is the damaged or missing file.
	File string
	// Offset is the position in File, in bytes, at which the damage begins.
	Offset int64
	// Found says what is wrong there.
	Found string
	// Remedy says what to do. It is a command block or a full sentence.
	Remedy string
}

// Error says what was found, what was not done, and what to do.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the embedded broker's log is damaged: %s, byte %d: %s. Nothing was changed, and the broker did not start. %s", e.File, e.Offset, e.Found, e.Remedy)
}

// defaultAddr is where the broker of clusterlite serve listens by default.
const defaultAddr = "127.0.0.1:19092"

// restore returns the remedy for a log that lost events. addr is where the broker listens.
func restore(dir, addr string) string {
	serve := ""
	switch {
	case addr == "" || strings.HasSuffix(addr, ":0"): // unknown before the broker runs
		addr = defaultAddr
	case addr != defaultAddr:
		serve = " --kafka-listen " + addr
	}
	data := filepath.Dir(dir)
	return fmt.Sprintf(`To continue, do one of these:
1. Restore %[1]s from a backup.
2. Recover the state from the read model beside it. The history before that state is lost:
     clusterlite snapshot create ./recovered --data-dir %[2]s
     mv %[2]s %[2]s.damaged
     clusterlite serve --data-dir %[2]s%[3]s    # then, in another terminal:
     clusterlite snapshot append ./recovered --kafka-brokers %[4]s
docs/how-to/recover-a-damaged-embedded-log.md describes each step.`, dir, data, serve, addr)
}

// moveAway returns the remedy for a file that holds nothing that ClusterLite stores.
func moveAway(file, lost string) string {
	return fmt.Sprintf("Restore the file from a backup, or move it away: mv %[1]s %[1]s.damaged. %s", file, lost)
}
