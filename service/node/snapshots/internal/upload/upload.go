// Package upload turns a client that reads an object from an [io.Reader] into the writer
// that snapshots.Bucket requires.
package upload

import (
	"context"
	"errors"
	"io"
)

// PartSize is the number of bytes that clients send in one request. A store must accept a
// part within the time limit of a request. S3 allows 10,000 parts, which makes 80 GiB.
const PartSize = 8 << 20

// A Writer passes what is written to a send function, which runs in a separate goroutine. Use the
// Writer from one goroutine.
type Writer struct {
	ctx  context.Context
	pipe *io.PipeWriter
	stop func() bool
	sent chan struct{} // closed when send has returned
	err  error         // of send
}

// NewWriter starts send, which must read r to its end and must commit the object only if it
// got io.EOF. Once ctx has ended, r returns the cause, and Write and Close return without
// waiting for send.
func NewWriter(ctx context.Context, send func(ctx context.Context, r io.Reader) error) *Writer {
	r, pipe := io.Pipe()
	w := &Writer{ctx: ctx, pipe: pipe, sent: make(chan struct{})}
	w.stop = context.AfterFunc(ctx, func() { _ = pipe.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(w.sent)
		w.err = send(ctx, r)
		_ = r.CloseWithError(errors.Join(w.err, errEnded)) // for a Write that follows
	}()
	return w
}

var errEnded = errors.New("the upload has ended")

// Write passes p to send. It returns the error of send, if send has returned.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.pipe.Write(p)
	if err == nil || w.ctx.Err() == nil {
		return n, err
	}
	return n, context.Cause(w.ctx)
}

// Close waits until send has committed the object. If ctx ends before, it returns the cause.
func (w *Writer) Close() error {
	defer w.stop()
	if w.ctx.Err() != nil {
		return errors.Join(context.Cause(w.ctx), w.pipe.CloseWithError(context.Cause(w.ctx)))
	}
	_ = w.pipe.Close() // never fails
	select {
	case <-w.sent:
		return w.err
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
}
