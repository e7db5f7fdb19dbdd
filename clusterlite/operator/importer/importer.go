// Package importer implements clusterlite import, which sends entities to a ClusterLite store,
// many in one request. After a fault it continues where it stopped. Only package cli imports it.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// ErrInputChanged is returned if the input no longer starts with the part that an earlier
// run sent.
var ErrInputChanged = errors.New("the part of the input that was already imported has changed")

// Options define what is imported, and where to.
type Options struct {
	// URL is the address of the store, and Collection the collection of the entities.
	URL, Collection string
	// Token returns the bearer token for a request. It is nil if requests have none.
	Token func() string
	// Key names the import. The same lines under a different key create new entities.
	Key string
	// Checkpoint is the file that stores the progress of the import. Empty means that no
	// progress is stored.
	Checkpoint string
	// Patience is how long a request is retried before the import gives up.
	Patience time.Duration
	// Failed is called for each line that failed, in order. An error ends the import.
	Failed func(Failure) error
	// Sync, if not nil, is called after the failures of a chunk were passed to Failed, and
	// before the checkpoint records the chunk. It must make the output of Failed durable.
	// An error ends the import.
	Sync func() error
	// Resumed is called once, before anything is sent, with the number of bytes of the
	// input that earlier runs got acknowledged.
	Resumed func(bytes int64)
	// Progress is called with the number of acknowledged bytes of the input.
	Progress func(bytes int64)
}

// A Failure is a line that did not become an entity, with the reason.
type Failure struct {
	Line   int64                `json:"line"`
	Status int                  `json:"status"`
	Type   string               `json:"type"`
	Title  string               `json:"title"`
	Detail string               `json:"detail,omitempty"`
	Errors []problem.FieldError `json:"errors,omitempty"`
}

// String describes the failure in one line, for people.
func (f Failure) String() string {
	text := fmt.Sprintf("line %d: %d %s", f.Line, f.Status, f.Title)
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	for _, e := range f.Errors {
		text += fmt.Sprintf(" %s %s.", e.Pointer, e.Detail)
	}
	return text
}

// A Summary is the result of an import, including earlier runs. Empty lines count as
// neither created nor failed.
type Summary struct {
	Lines   int64
	Created int64
	Failed  int64
}

// Run imports an input with one entity per line. It sends the lines in chunks, one after
// another. Each chunk has an idempotency key that is derived from its lines. Therefore no line
// is imported twice within a day, even if the connection, the servers or this process fail.
// With a checkpoint, Run never sends acknowledged lines again.
//
// The summary is valid even if Run returns an error: that of ctx, of the input, of a callback,
// [ErrInputChanged], or that of the store. If the store rejects a request, Run returns at once.
// It returns other errors of the store once Patience is over. Calling Run again continues after
// the last acknowledged chunk.
func Run(ctx context.Context, input io.Reader, o Options) (_ Summary, err error) {
	point, err := loadCheckpoint(o)
	if err != nil {
		return Summary{}, err
	}
	lines := newChunkReader(input)
	if err := lines.skip(point); err != nil {
		return point.summary(), err
	}
	if err := point.save(o.Checkpoint); err != nil { // save it before anything is sent
		return point.summary(), err
	}
	defer func() {
		if err != nil && point.Lines == 0 {
			err = errors.Join(err, point.remove(o.Checkpoint))
		}
	}()
	client := newClient()
	defer client.CloseIdleConnections()
	s := &sender{Options: o, client: client}
	o.Resumed(point.Bytes)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for next := readAhead(ctx, lines); ; {
		c, err := next()
		if errors.Is(err, io.EOF) {
			return point.summary(), point.remove(o.Checkpoint)
		}
		if err != nil {
			return point.summary(), err
		}
		failures, err := s.send(ctx, c)
		if err != nil {
			return point.summary(), err
		}
		for _, f := range failures {
			if err := o.Failed(f); err != nil {
				return point.summary(), err
			}
		}
		if len(failures) > 0 && o.Sync != nil {
			if err := o.Sync(); err != nil {
				return point.summary(), err
			}
		}
		point.take(c, int64(len(failures)))
		if err := point.save(o.Checkpoint); err != nil {
			return point.summary(), err
		}
		o.Progress(point.Bytes)
	}
}

// readAhead reads the next chunk while one is being sent. If a Read of the input hangs, as
// that of a terminal may, cancelling ctx still ends the wait.
func readAhead(ctx context.Context, lines *chunkReader) (next func() (*chunk, error)) {
	type read struct {
		c   *chunk
		err error
	}
	reads := make(chan read)
	go func() {
		for r := (read{}); r.err == nil; {
			r.c, r.err = lines.next()
			select {
			case reads <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() (*chunk, error) {
		select {
		case r := <-reads:
			return r.c, r.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take records that a chunk is acknowledged.
func (p *checkpoint) take(c *chunk, failed int64) {
	p.Lines, p.Bytes, p.Digest = c.next-1, c.end, c.digest
	p.Created += int64(len(c.lines)+len(c.long)) - failed
	p.Failed += failed
}

func (p *checkpoint) summary() Summary { return Summary{p.Lines, p.Created, p.Failed} }
