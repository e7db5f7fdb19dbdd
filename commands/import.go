package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/commands/spool"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/lines"
	"github.com/clusterlite/clusterlite/service/httpapi/coding"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

const (
	// imports is how many there can be at a time.
	imports = 8
	// flights is how many batches of an import are under way at most, from their decision
	// to their results. Beside them it holds one batch that is being read.
	flights = 3
)

// importLines creates many entities in one request: a line an entity, a line a result.
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
	lines := newLineReader(body, a.MaxBody)
	// A proxy such as nginx sends no more of a request once its answer has begun.
	halfDuplex := c.Request().Header.Get(contract.HeaderHalfDuplex) != ""
	if !halfDuplex {
		// The error: this connection, as in tests, can't or needn't.
		_ = http.NewResponseController(c.Response()).EnableFullDuplex()
		if c.Request().Header.Get("Expect") != "" {
			lines.await() // it gives the client leave to send, which it can't after the answer has begun
		}
	}
	parser := &lineParser{a: a, command: command, path: c.Request().URL.Path}
	in := newImporter(c.Request().Context(), parser, spool.New(a.SpoolDir))
	defer in.close()
	in.start(lines)
	var out *web.Stream
	answered := make(chan error, 1)
	answer := func() {
		out = web.BeginStream(c, contract.NDJSON)
		go func() { answered <- in.answer(out) }()
	}
	if !halfDuplex {
		answer()
	}
	err = in.finish(func() { web.CutBody(c) })
	if halfDuplex {
		answer()
	}
	out.End(errors.Join(err, <-answered))
	return nil
}

// An importer is one import under way, in constant memory. Its lines pass through five
// stages, each a goroutine, so that all of them work at the same time:
//
//	read     reads, parses and validates lines into the queue
//	execute  takes a batch from the queue, decides it and appends its events
//	settle   waits for the verdicts of a batch and writes its results to the spool
//	answer   sends the results to the client
//
// The fifth is the log's worker, which gives the verdicts. A result is sent once the log has
// judged its line, so what was acknowledged is done.
//
// It ends in one of three ways. All three wait for the batches that were begun, and write
// their results:
//
//   - the body ends: all lines have a result;
//   - early: the server is to stop, can't do more now, or the client leaves too many results
//     unread. The lines after have no result, and nothing was done for them;
//   - broken: the body or the connection fails. Nothing more is begun, so of the lines whose
//     results did not arrive, at most those are done that follow at once on those whose
//     results did. With an idempotency key a retry repeats their outcome.
type importer struct {
	*lineParser
	ctx    context.Context // ends once the import is broken, or over
	cancel context.CancelFunc
	// draining is closed once the server is to stop.
	draining <-chan struct{}
	queue    *lineQueue
	begun    chan flight // from execute to settle
	results  *spool.Spool
	// read and settled get one value each, once their stage is done.
	read    chan error
	settled chan settlement
}

// A flight is a batch that was begun, with its outcomes to come.
type flight struct {
	lines []importLine
	wait  func() []Outcome
}

// A settlement is how the last stage ended.
type settlement struct {
	early bool
	err   error // of the spool
}

func newImporter(ctx context.Context, parser *lineParser, results *spool.Spool) *importer {
	in := &importer{
		lineParser: parser, draining: web.Draining(ctx), queue: newLineQueue(), results: results,
		begun: make(chan flight, flights-2), // execute and settle have one each
		read:  make(chan error, 1), settled: make(chan settlement, 1),
	}
	in.ctx, in.cancel = context.WithCancel(ctx)
	return in
}

// start starts the stages read and settle.
func (in *importer) start(lines *lineReader) {
	context.AfterFunc(in.ctx, in.queue.stop)
	go func() {
		select {
		case <-in.draining:
			in.queue.stop()
		case <-in.ctx.Done():
		}
	}()
	go func() {
		err := web.Guard(func() error { return in.readAll(in.ctx, lines) })
		if errors.Is(err, errQueueStopped) {
			err = nil // whoever stopped it knows why
		}
		if err != nil {
			in.cancel() // what had come before is not begun: its results would reach nobody
		}
		in.queue.end()
		in.read <- err
	}()
	go func() { in.settled <- in.settle() }()
}

// finish is the stage execute. It returns once all results are in the spool. cutBody has
// the stage read end, if it waits for the client. An error means that the import is broken.
func (in *importer) finish(cutBody func()) error {
	early := in.execute()
	close(in.begun)
	settled := <-in.settled
	in.results.End()
	broken := in.ctx.Err()
	if early = early || settled.early; early || broken != nil || settled.err != nil {
		in.cancel()
		cutBody()
	}
	err := <-in.read
	if early && broken == nil {
		err = nil // that was us
	}
	return errors.Join(broken, settled.err, err)
}

// close frees what the importer holds, once all stages have ended.
func (in *importer) close() {
	in.cancel()
	in.results.Discard()
}

// readAll reads and parses lines until the end of the body. The error is that of the body, or
// of ctx: once it has ended, no other line is looked at. It is errQueueStopped once the queue
// is stopped.
func (in *importer) readAll(ctx context.Context, input *lineReader) error {
	for {
		if ctx.Err() != nil {
			return ctx.Err() // to parse and validate lines is work too, and nobody waits for it
		}
		text, err := input.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var damaged *coding.DecodeError
		if errors.As(err, &damaged) {
			// What came before is good. This is the last result: what follows can't be read.
			return in.queue.put(importLine{number: input.number, err: damaged.Problem})
		}
		if err != nil && !errors.Is(err, lines.ErrTooLong) {
			return err
		}
		if len(text) == 0 && err == nil {
			continue // an empty line is no entity
		}
		if err := in.queue.put(in.parse(ctx, input.number, text, err)); err != nil {
			return err
		}
	}
}

// execute begins the batches, one after the other. It returns true if it has stopped before
// the last because the server is to stop.
func (in *importer) execute() (early bool) {
	for {
		batch, more := in.queue.take()
		switch {
		case in.ctx.Err() != nil:
			return false
		case isClosed(in.draining):
			return true // also if a batch was taken in that moment
		case !more:
			return false
		}
		in.begun <- flight{batch, in.begin(batch)}
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

// begin begins the commands of a batch, without the client's context: what was begun gets its
// verdict, and its result. If the server fails on all of them together, their events may be
// in the log.
func (in *importer) begin(batch []importLine) (wait func() []Outcome) {
	commands := make([]Command, 0, len(batch))
	for i := range batch {
		if batch[i].err == nil {
			commands = append(commands, batch[i].command)
		}
		batch[i].command = Command{} // the documents are not needed twice
	}
	if len(commands) == 0 {
		return func() []Outcome { return nil }
	}
	var begun *Batch
	err := web.Guard(func() error {
		begun = in.a.Executor.BeginBatch(context.WithoutCancel(in.ctx), commands)
		return nil
	})
	return func() (outcomes []Outcome) {
		if err == nil {
			err = web.Guard(func() error {
				outcomes = begun.Wait()
				return nil
			})
		}
		if err != nil {
			outcomes = make([]Outcome, len(commands))
			for i := range outcomes {
				outcomes[i].Err = fmt.Errorf("%w: %w", eventlog.ErrOutcomeUnknown, err)
			}
		}
		return outcomes
	}
}

// settle writes the results of the batches, in their order. It stops the queue if nothing more
// can be done now, or the client leaves too many results unread.
func (in *importer) settle() (s settlement) {
	for f := range in.begun {
		outcomes := f.wait()
		if s.err == nil {
			var unavailable bool
			unavailable, s.err = in.writeResults(in.ctx, in.results, f.lines, outcomes)
			s.early = s.early || s.err == nil && (unavailable || in.results.Full())
		}
		if s.early || s.err != nil {
			in.queue.stop()
		}
		in.queue.landed()
	}
	return s
}

// answer sends the results as they come. If the client does not take them, nothing more is
// begun.
func (in *importer) answer(out io.Writer) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := in.results.Read(buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = out.Write(buffer[:n])
		}
		if err != nil {
			in.cancel()
			return err
		}
	}
}
