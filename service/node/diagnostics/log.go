// Package diagnostics serves what a bug report needs from a process, on the admin listener: its
// last log lines, its settings without secrets, and what its goroutines do. Package node mounts
// it, and clusterlite support dump collects it.
package diagnostics

import (
	"io"
	"net/http"
	"sync"
)

// These paths of the admin listener serve the diagnostics.
const (
	LogPath        = "/diagnostics/log"
	SettingsPath   = "/diagnostics/settings"
	GoroutinesPath = "/diagnostics/goroutines"
)

// maxLog is the number of bytes of log lines that a process keeps.
const maxLog = 256 << 10

// A Log passes log lines on and keeps the last ones in memory, up to 256 KiB. It is safe for
// concurrent use.
type Log struct {
	to io.Writer

	mu    sync.Mutex
	lines [][]byte
	bytes int
}

// NewLog returns a Log that passes lines on to a writer.
func NewLog(to io.Writer) *Log { return &Log{to: to} }

// Write implements [io.Writer]. Each call is one line, as a handler of slog writes it.
func (l *Log) Write(line []byte) (int, error) {
	kept := append([]byte(nil), line[:min(len(line), maxLog)]...)
	l.mu.Lock()
	l.lines, l.bytes = append(l.lines, kept), l.bytes+len(kept)
	for l.bytes > maxLog {
		l.bytes -= len(l.lines[0])
		l.lines[0] = nil // otherwise the array would keep it in memory
		l.lines = l.lines[1:]
	}
	l.mu.Unlock()
	return l.to.Write(line)
}

// ServeHTTP answers with the lines, the oldest first.
func (l *Log) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	lines := append([][]byte(nil), l.lines...)
	l.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, line := range lines {
		if _, err := w.Write(line); err != nil {
			return // the client is gone
		}
	}
}
