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
	// maxImports is the maximum number of imports at the same time.
	maxImports = 8
	// maxBatches is the maximum number of batches of an import that are in progress, from their
	// decision to their results. One more batch is being read meanwhile.
	maxBatches = 3
)

// importLines creates many entities in one request. Each line of the body is an entity, and each
// line of the response is a result.
func (a *API) importLines(c echo.Context, command Command) error {
	defer a.importing.Add(-1)
	if a.importing.Add(1) > maxImports {
		return problem.Overloaded.New("The server is running the maximum number of imports. No line was imported. Retry later.")
	}
	if err := a.Executor.Model.Stuck(); err != nil {
		return toProblem(err) // No line was executed, so another node can execute the whole import.
	}
	body, err := web.BodyStream(c)
	if err != nil {
		return err
	}
	if c.Request().ProtoMajor == 1 {
		// An import may end before its body does. The server then closes the connection, and a
		// client or proxy that had kept it would lose its next request.
		c.Response().Header().Set("Connection", "close")
	}
	lines := newLineReader(body, a.MaxBody)
	// A proxy such as nginx stops sending a request as soon as it receives the response.
	halfDuplex := c.Request().Header.Get(contract.HeaderHalfDuplex) != ""
	if !halfDuplex {
		// The error says that the connection does not support this, as in tests, or does not need
		// it.
		_ = http.NewResponseController(c.Response()).EnableFullDuplex()
		if c.Request().Header.Get("Expect") != "" {
			lines.await() // Reading sends 100 Continue, which must come before the response.
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

// An importer executes one import, in constant memory. Its lines pass through five stages. Each
// stage is a goroutine, so that all of them work at the same time:
//
//	read     reads, parses and validates lines, and puts them into the queue
//	execute  takes a batch from the queue, decides it, and appends its events
//	settle   waits for the verdicts on a batch, and writes its results to the spool
//	answer   sends the results to the client
//
// The fifth stage is the worker of the projection, which delivers the verdicts. A result is sent
// only after the verdict on its line, so an acknowledged line is done.
//
// An import ends in one of three ways. In all of them, the importer waits for the batches
// whose execution has started, and writes their results:
//
//   - It is complete: the body has ended, and every line has a result.
//   - It ends early: the server stops, can't execute more at the moment, or the client leaves
//     too many results unread. The remaining lines have no result, and nothing was done for
//     them.
//   - It breaks: the body or the connection fails. No further batch begins. Of the lines whose
//     results did not arrive, only the ones that directly follow the last result may have been
//     executed. A retry with the same idempotency key repeats their outcome.
type importer struct {
	*lineParser
	ctx    context.Context // ends when the import breaks, and when it is over
	cancel context.CancelFunc
	// draining is closed when the server begins to stop.
	draining <-chan struct{}
	queue    *lineQueue
	begun    chan flight // from execute to settle
	results  *spool.Spool
	// read and settled each receive one value, when their stage ends.
	read    chan error
	settled chan settlement
}

// A flight is a batch whose events were appended and whose outcomes are pending.
type flight struct {
	lines []importLine
	wait  func() []Outcome
}

// A settlement is how the stage settle ended.
type settlement struct {
	early bool
	err   error // of the spool
}

func newImporter(ctx context.Context, parser *lineParser, results *spool.Spool) *importer {
	in := &importer{
		lineParser: parser, draining: web.Draining(ctx), queue: newLineQueue(), results: results,
		begun: make(chan flight, maxBatches-2), // execute and settle have one batch each
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
			err = nil // the code that stopped the queue knows the reason
		}
		if err != nil {
			in.cancel() // the lines before the error are not executed, because their results could not be delivered
		}
		in.queue.end()
		in.read <- err
	}()
	go func() { in.settled <- in.settle() }()
}

// finish is the stage execute. It returns once all results are in the spool. cutBody ends the
// stage read if that waits for the client. An error means that the import broke.
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
		err = nil // the importer itself has ended the stage
	}
	return errors.Join(broken, settled.err, err)
}

// close frees the resources of the importer after all stages have ended.
func (in *importer) close() {
	in.cancel()
	in.results.Discard()
}

// readAll reads and parses lines until the end of the body. The error is that of the body,
// ctx.Err(), or errQueueStopped. After ctx has ended, it parses no further line.
func (in *importer) readAll(ctx context.Context, input *lineReader) error {
	for {
		if ctx.Err() != nil {
			return ctx.Err() // parsing and validating is work too, and its results would be lost
		}
		text, err := input.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var damaged *coding.DecodeError
		if errors.As(err, &damaged) {
			// The lines before this point are intact. This is the last result, because the rest
			// can't be read.
			return in.queue.put(importLine{number: input.number, err: damaged.Problem})
		}
		if err != nil && !errors.Is(err, lines.ErrTooLong) {
			return err
		}
		if len(text) == 0 && err == nil {
			continue // an empty line is not an entity
		}
		if err := in.queue.put(in.parse(ctx, input.number, text, err)); err != nil {
			return err
		}
	}
}

// execute begins the batches one after the other. It returns true if it ends early because the
// server stops.
func (in *importer) execute() (early bool) {
	for {
		batch, more := in.queue.take()
		switch {
		case in.ctx.Err() != nil:
			return false
		case isClosed(in.draining):
			return true // even if a batch was taken at the same time
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

// begin begins the commands of a batch. It does not use the client's context, so every command
// that begins gets its verdict and its result. If the server panics, the outcome of the whole
// batch is unknown.
func (in *importer) begin(batch []importLine) (wait func() []Outcome) {
	commands := make([]Command, 0, len(batch))
	for i := range batch {
		if batch[i].err == nil {
			commands = append(commands, batch[i].command)
		}
		batch[i].command = Command{} // the batch holds the documents from here on
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

// settle writes the results of the batches in order. It stops the queue if the server can't
// execute more at the moment, or if the client leaves too many results unread.
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

// answer sends the results to the client. If the client does not read them, no further batch
// begins.
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
