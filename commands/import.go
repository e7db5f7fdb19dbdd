package commands

import (
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
	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/problem"
	"github.com/clusterlite/clusterlite/service/web"
)

// imports is how many there can be at a time. Each holds up to three batches.
const imports = 8

// An import is many creates in one request: a line an entity, a line a result. Lines are
// read, executed in batches and answered at the same time, in constant memory.
//
// A result is sent once the log has judged its line, so what was acknowledged is done.
// One batch is executed at a time, and none once the connection is known to be broken:
// of the lines whose results did not arrive, at most those are done that follow at once
// on those whose results did, and with an idempotency key a retry repeats their outcome.
func (a *API) importLines(c echo.Context, command Command) error {
	defer a.importing.Add(-1)
	if a.importing.Add(1) > imports {
		return problem.Overloaded.New("The server is running the maximum number of imports. No line was imported. Retry later.")
	}
	if err := a.Executor.Model.Stuck(); err != nil {
		return toProblem(err) // as long as another node can be asked for all of it
	}
	body, err := web.BodyStream(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	in := &importer{a: a, command: command, path: c.Request().URL.Path, draining: web.Draining(ctx)}
	results := newSpool(a.SpoolDir)
	defer results.discard()

	// A proxy such as nginx sends no more of a request once its answer has begun.
	halfDuplex := c.Request().Header.Get(api.HeaderHalfDuplex) != ""
	lines := newLineReader(body, a.MaxBody)
	if !halfDuplex {
		// The error: this connection, as in tests, can't or needn't.
		_ = http.NewResponseController(c.Response()).EnableFullDuplex()
		if c.Request().Header.Get("Expect") != "" {
			lines.await() // it gives the client leave to send, which it can't after the answer has begun
		}
	}
	batches := make(chan []importLine, 1) // one is read while one is executed
	read := make(chan error, 1)
	go func() {
		defer close(batches)
		err := web.Guard(func() error { return in.read(ctx, lines, batches) })
		if err != nil {
			cancel() // what had come before is not begun: its results would reach nobody
		}
		read <- err
	}()

	var out *web.Stream
	answered := make(chan error, 1)
	answer := func() {
		out = web.BeginStream(c, api.NDJSON)
		go func() {
			err := answerFrom(out, results)
			if err != nil {
				cancel() // nobody hears what more is done
			}
			answered <- err
		}()
	}
	if !halfDuplex {
		answer()
	}
	early, err := in.execute(ctx, batches, results)
	results.end()
	if early || err != nil {
		cancel()
		web.CutBody(c)
		for range batches {
			// What had been read is not executed.
		}
	}
	readErr := <-read
	if early {
		readErr = nil // that was us
	}
	if halfDuplex {
		answer()
	}
	out.End(errors.Join(err, readErr, <-answered))
	return nil
}

// answerFrom sends the results as they come.
func answerFrom(out *web.Stream, results *spool) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := results.Read(buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := out.Write(buffer[:n]); err != nil {
			return err
		}
	}
}

// An importLine is a line of an import: a command, or why there is none.
type importLine struct {
	number  int64
	command Command
	err     error
	fault   bool // err is a fault of the server in this line alone
}

type importer struct {
	a       *API
	command Command // what all lines have in common
	path    string
	// draining is closed once the server is to stop.
	draining <-chan struct{}
	// faults is how many lines the server failed on.
	faults atomic.Int64
}

const (
	// batchLines and batchBytes bound a batch. More lines gain little; the bytes stay
	// far below what the broker takes at once.
	batchLines = 500
	batchBytes = 1 << 20
)

// read reads batches until the end of the body: what has arrived, never waiting for
// more. The error is that of the body, or of ctx: once it has ended, no other line is
// looked at.
func (in *importer) read(ctx context.Context, lines *lineReader, batches chan<- []importLine) error {
	for {
		var batch []importLine
		bytes := 0
		for len(batch) < batchLines && bytes < batchBytes && (len(batch) == 0 || lines.ready()) {
			if ctx.Err() != nil {
				return ctx.Err() // to parse and validate lines is work too, and nobody waits for it
			}
			text, err := lines.next()
			if errors.Is(err, io.EOF) {
				return in.send(ctx, batches, batch)
			}
			var damaged *web.DecodeError
			if errors.As(err, &damaged) {
				// What came before is good. This is the last result: what follows can't be read.
				return in.send(ctx, batches, append(batch, importLine{number: lines.number, err: damaged.Problem}))
			}
			if err != nil && !errors.Is(err, errLongLine) {
				return err
			}
			if len(text) == 0 && err == nil {
				continue // an empty line is no entity
			}
			bytes += len(text)
			batch = append(batch, in.parse(ctx, lines.number, text, err))
		}
		if err := in.send(ctx, batches, batch); err != nil {
			return err
		}
	}
}

func (in *importer) send(ctx context.Context, batches chan<- []importLine, batch []importLine) error {
	if len(batch) == 0 {
		return nil
	}
	select {
	case batches <- batch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parse makes a command of a line. A line that the server fails on fails alone.
func (in *importer) parse(ctx context.Context, number int64, text []byte, err error) importLine {
	l := importLine{number: number, command: in.command}
	if err != nil {
		l.err = problem.BodyTooLarge.New(fmt.Sprintf("The line exceeds the maximum of %d bytes and was not imported.", in.a.MaxBody))
		return l
	}
	l.err = web.Guard(func() error { return in.prepare(&l.command, number, text) })
	if in.isFault(ctx, number, l.err) {
		l.err = problem.Internal.Because(l.err, "The server failed unexpectedly on this line and did not import it. The error is in its log under the request's id. Other lines are not affected.")
		l.fault = true
	}
	return l
}

// prepare reads and validates a line. The error is a problem.
func (in *importer) prepare(command *Command, number int64, text []byte) (err error) {
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
	if key := in.command.IdempotencyKey; key != "" {
		command.IdempotencyKey = lineKey(key, number)
		command.RequestHash = HashRequest(http.MethodPost, in.path, text)
	}
	return nil
}

// loggedFaults is how many faults of one import are logged: a stack for each line of a
// large file would fill the disk.
const loggedFaults = 10

// isFault tells whether an error is a panic, which it logs.
func (in *importer) isFault(ctx context.Context, number int64, err error) bool {
	var fault *web.PanicError
	if !errors.As(err, &fault) {
		return false
	}
	if n := in.faults.Add(1); n <= loggedFaults && in.a.Logger != nil {
		in.a.Logger.ErrorContext(ctx, "an import line failed unexpectedly; the import continues", "line", number, "fault", n, "logged_at_most", loggedFaults, "error", err)
	}
	return true
}

// lineKey gives each line of an import a key of its own, so that a retry of the whole
// import repeats the outcome of each line that was done. It is stored in the log.
func lineKey(key string, number int64) string {
	sum := sha256.Sum256([]byte(key + "\x00" + strconv.FormatInt(number, 10)))
	return "import:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// execute executes the batches, one after the other. It ends early, and the lines after
// have no result then, if nothing more can be done now, if the server is to stop, or if
// the client leaves too many results unread. The error is that of ctx, or of results.
func (in *importer) execute(ctx context.Context, batches <-chan []importLine, results *spool) (early bool, err error) {
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-in.draining:
			return true, nil
		case batch, more := <-batches:
			if !more || ctx.Err() != nil {
				return false, ctx.Err()
			}
			if isClosed(in.draining) {
				return true, nil // a select that can go several ways goes any
			}
			unavailable, err := in.executeBatch(ctx, batch, results)
			if err != nil || unavailable || results.full() {
				return err == nil, err
			}
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (in *importer) executeBatch(ctx context.Context, batch []importLine, results *spool) (unavailable bool, err error) {
	var commands []Command
	for _, l := range batch {
		if l.err == nil {
			commands = append(commands, l.command)
		}
	}
	outcomes := in.executeCommands(ctx, commands)
	out := json.NewEncoder(results)
	out.SetEscapeHTML(false)
	for _, l := range batch {
		r := lineResult{Line: l.number}
		fault := l.fault
		if l.err != nil {
			r.fail(l.err)
		} else {
			o := outcomes[0]
			outcomes = outcomes[1:]
			if o.Err != nil {
				fault = in.isFault(ctx, l.number, o.Err)
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

// executeCommands executes commands, without the client's context: what was begun gets
// its verdict, and its result. If the server fails on all of them together, their events
// may be in the log.
func (in *importer) executeCommands(ctx context.Context, commands []Command) (outcomes []Outcome) {
	if len(commands) == 0 {
		return nil
	}
	err := web.Guard(func() error {
		outcomes = in.a.Executor.ExecuteBatch(context.WithoutCancel(ctx), commands)
		return nil
	})
	if err != nil {
		outcomes = make([]Outcome, len(commands))
		for i := range outcomes {
			outcomes[i].Err = fmt.Errorf("%w: %w", eventlog.ErrOutcomeUnknown, err)
		}
	}
	return outcomes
}

// A lineResult is what became of a line: an id, or a problem.
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
