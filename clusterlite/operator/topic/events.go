// Package topic implements the subcommands that work on the log: events tail, show, export and
// import, and reindex. Package archive defines the format of exports, and package reindex does
// the work of that subcommand. Only package cli imports it.
package topic

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/events"
)

// Events are the subcommands that work on the log itself.
type Events struct {
	Tail   Tail   `cmd:"" help:"Print the events in the log, and new ones as they arrive."`
	Show   Show   `cmd:"" help:"Print one record of the log in full."`
	Export Export `cmd:"" help:"Export all admitted events to a file."`
	Import Import `cmd:"" help:"Import the events of a file into an empty log."`
}

// phases shows the progress of a task that has several phases, one after another.
type phases struct {
	w     io.Writer
	phase string
	task  *progress.Task
}

// report implements archive.Progress.
func (p *phases) report(phase string, done, total int64, unit string) {
	if p.phase != phase || p.task == nil {
		p.done()
		p.phase, p.task = phase, progress.Start(p.w, phase, total, unit)
	}
	p.task.Total(total)
	p.task.Set(done)
}

func (p *phases) done() {
	if p.task != nil {
		p.task.Done()
	}
}

// contents are the names of the kinds of records, for people and programs.
var contents = map[events.Content]string{
	events.HasEvent: "event", events.Barrier: "barrier", events.Malformed: "malformed", events.NewerFormat: "newer-format",
	events.NoRecord: "no-record",
}

// content returns the name of the content of a record.
func content(r events.Record) string {
	if r.Content == events.Barrier && r.Checkpoint {
		return "checkpoint"
	}
	return contents[r.Content]
}

// appendedAt formats the broker's time of a record. It returns a dash if there is no record.
func appendedAt(r events.Record) string {
	if r.Content == events.NoRecord {
		return "-"
	}
	return events.FormatTime(r.Timestamp)
}

// printable converts untrusted text to one line without control characters, which is safe to
// print on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return utf8.RuneError
	}, s)
}
