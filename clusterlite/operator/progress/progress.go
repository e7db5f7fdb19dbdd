// Package progress shows the progress of a long task. On a terminal it shows a bar with the
// rate and the time left; elsewhere it writes a plain line every few seconds. A task that ends
// within a second shows nothing. All subcommands with long tasks use it.
package progress

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

const (
	// quiet is how long a task shows nothing.
	quiet = time.Second
	// interval is the time between two lines if the output is not a terminal.
	interval = 5 * time.Second
	// sampling is how often the rate is measured.
	sampling = 500 * time.Millisecond
)

// Bytes is the unit of a task that counts bytes; they are written as KiB, MiB and so on.
const Bytes = "bytes"

// A Task is a task that takes long. It is safe for concurrent use.
type Task struct {
	what, unit  string
	done, total atomic.Int64
	before      atomic.Int64 // the amount done before the task began
	start       time.Time
	rate        rate
	stop        chan struct{}
	once        sync.Once
	shown       sync.WaitGroup

	mu  sync.Mutex
	out io.Writer // where other output may be written
}

// Start starts to show the progress of a task. what names the task, and unit is what it
// counts, in the plural, or [Bytes]. A total of zero means unknown. Progress goes to w,
// which should be the standard error output, because the standard output is for results.
// The caller must call Done.
func Start(w io.Writer, what string, total int64, unit string) *Task {
	return start(w, what, total, unit, isTerminal(w))
}

func start(w io.Writer, what string, total int64, unit string, terminal bool) *Task {
	t := &Task{what: what, unit: unit, start: time.Now(), stop: make(chan struct{}), out: w}
	t.total.Store(total)
	show := t.showLines
	if terminal {
		show = t.showBar
	}
	t.shown.Go(func() {
		if t.sampleFor(quiet) {
			show(w)
		}
	})
	return t
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Set sets how much is done since the beginning of the task.
func (t *Task) Set(done int64) { t.done.Store(done) }

// Resume sets how much was already done before the task began, which counts as done but not
// in the rate.
func (t *Task) Resume(done int64) {
	t.before.Store(done)
	t.done.Store(done)
}

// Write writes complete lines without disturbing the progress display. Use it for messages
// during the task.
func (t *Task) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Write(p)
}

// Total sets the total. It may grow.
func (t *Task) Total(n int64) { t.total.Store(n) }

// Done ends the task, whether it has finished or not, and returns once its final state is
// shown. It may be called more than once.
func (t *Task) Done() {
	t.once.Do(func() { close(t.stop) })
	t.shown.Wait()
}

// sampleFor measures the rate for a duration. It returns false as soon as the task ends.
func (t *Task) sampleFor(d time.Duration) (goesOn bool) {
	over := time.NewTimer(d)
	defer over.Stop()
	again := time.NewTicker(sampling)
	defer again.Stop()
	for {
		select {
		case <-t.stop:
			return false
		case <-over.C:
			t.sample()
			return true
		case <-again.C:
			t.sample()
		}
	}
}

func (t *Task) sample() { t.rate.add(time.Now(), t.done.Load()) }
