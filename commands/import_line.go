package commands

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events/lines"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// An importLine is a line of an import: either its command, or the error that rejects the line.
type importLine struct {
	number  int64
	command Command
	bytes   int // the length of the line
	err     error
	fault   bool // err is an unexpected failure of the server on this line alone
}

// jsonSpace is the white space that JSON allows around a value.
const jsonSpace = " \t\r\n"

// A lineReader reads the lines of an import.
type lineReader struct {
	in      *bufio.Reader
	lines   *lines.Reader
	maximum int
	number  int64 // of the last line, counted from 1
}

// newLineReader returns a reader of lines of at most maximum bytes, without their newlines.
func newLineReader(r io.Reader, maximum int) *lineReader {
	in := bufio.NewReaderSize(r, 64<<10)
	return &lineReader{in: in, lines: lines.NewReader(in, maximum+len("\r\n")), maximum: maximum}
}

// await waits for the first byte. It returns no error, because next returns the same one.
func (l *lineReader) await() { _, _ = l.in.Peek(1) }

// next returns the next line, without the white space around it. The error is
// [lines.ErrTooLong], io.EOF after the last line, or an error of the input. If the input breaks
// off within a line, next returns the error and not the line.
func (l *lineReader) next() ([]byte, error) {
	l.number++
	line, err := l.lines.Append(nil)
	if errors.Is(err, lines.ErrTooLong) {
		if err := l.lines.Skip(); err != nil {
			return nil, err
		}
		return nil, lines.ErrTooLong
	}
	if err != nil {
		return nil, err
	}
	if line = bytes.Trim(line, jsonSpace); len(line) > l.maximum {
		return nil, lines.ErrTooLong
	}
	return line, nil
}

// A lineParser turns lines into commands, and outcomes into results. Safe for concurrent use.
type lineParser struct {
	a       *API
	command Command // the parts that all lines share
	path    string
	// faults is the number of lines on which the server failed unexpectedly.
	faults atomic.Int64
}

// parse turns a line into a command. err is the reason why the line could not be read completely,
// or nil. If the server panics on a line, only this line fails.
func (p *lineParser) parse(ctx context.Context, number int64, text []byte, err error) importLine {
	l := importLine{number: number, command: p.command, bytes: len(text)}
	if err != nil {
		l.err = problem.BodyTooLarge.New(fmt.Sprintf("The line exceeds the maximum of %d bytes and was not imported.", p.a.MaxBody))
		return l
	}
	l.err = web.Guard(func() error { return p.prepare(&l.command, number, text) })
	if p.isFault(ctx, number, l.err) {
		l.err = problem.Internal.Because(l.err, "The server failed unexpectedly on this line and did not import it. The error is in its log under the request's id. Other lines are not affected.")
		l.fault = true
	}
	return l
}

// prepare parses and validates a line. The error is a problem.
func (p *lineParser) prepare(command *Command, number int64, text []byte) (err error) {
	if command.Document, err = parseBody(text, ""); err != nil {
		return err
	}
	if err := complete(command); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	command.ID = id.String()
	if key := p.command.IdempotencyKey; key != "" {
		command.IdempotencyKey = lineKey(key, number)
		command.RequestHash = HashRequest(http.MethodPost, p.path, text)
	}
	return nil
}

// loggedFaults is the maximum number of faults that are logged for one import. A stack trace for
// each line of a large file would fill the disk.
const loggedFaults = 10

// isFault reports whether an error is a panic, and logs it if so.
func (p *lineParser) isFault(ctx context.Context, number int64, err error) bool {
	var fault *web.PanicError
	if !errors.As(err, &fault) {
		return false
	}
	if n := p.faults.Add(1); n <= loggedFaults && p.a.Logger != nil {
		p.a.Logger.ErrorContext(ctx, "an import line failed unexpectedly; the import continues", "line", number, "fault", n, "logged_at_most", loggedFaults, "error", err)
	}
	return true
}

// lineKey derives an idempotency key for each line of an import, so that a retry of the whole
// import repeats the outcome of each line that was executed. The log stores it, so it never
// changes.
func lineKey(key string, number int64) string {
	sum := sha256.Sum256([]byte(key + "\x00" + strconv.FormatInt(number, 10)))
	return "import:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// A lineResult is the result of a line as clients see it: an id, or a problem.
type lineResult struct {
	Line    int64                `json:"line"`
	Status  int                  `json:"status"`
	ID      string               `json:"id,omitempty"`
	Version int64                `json:"version,omitempty"`
	Type    string               `json:"type,omitempty"`
	Title   string               `json:"title,omitempty"`
	Detail  string               `json:"detail,omitempty"`
	Errors  []problem.FieldError `json:"errors,omitempty"`
}

func (r *lineResult) fail(err error) {
	p := problem.From(err)
	r.Status, r.Type, r.Title, r.Detail, r.Errors = p.Status, p.Type, p.Title, p.Detail, p.Errors
}

// writeResults writes the result of each line. outcomes has one element for each line with a
// command. unavailable reports that the server could not execute one of them at the moment, and
// so will probably not be able to execute more.
func (p *lineParser) writeResults(ctx context.Context, to io.Writer, lines []importLine, outcomes []Outcome) (unavailable bool, err error) {
	out := json.NewEncoder(to)
	out.SetEscapeHTML(false)
	for _, l := range lines {
		r := lineResult{Line: l.number}
		fault := l.fault
		if l.err != nil {
			r.fail(l.err)
		} else {
			o := outcomes[0]
			outcomes = outcomes[1:]
			if o.Err != nil {
				fault = p.isFault(ctx, l.number, o.Err)
				r.fail(toProblem(o.Err))
			} else {
				r.Status, r.ID, r.Version = http.StatusCreated, o.Entity.ID, o.Entity.Version
			}
		}
		unavailable = unavailable || r.Status >= http.StatusInternalServerError && !fault
		if err := out.Encode(r); err != nil {
			return unavailable, err
		}
	}
	return unavailable, nil
}
