package coding

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// A decompression bomb is small and expands to a large size. The size of a stream is not
// limited, but its ratio to what the client has sent is. Lines of JSON of one kind shrink to
// a tenth or a twentieth, so no honest import comes near the limit.
const (
	freeExpansion = 16 << 20
	maxExpansion  = 200
)

// Window is the maximum window of zstd in HTTP (RFC 9659), in bytes. A stream takes as much
// memory.
const Window = 8 << 20

// A DecodeError reports compressed data that can't be decompressed. It is a problem for the
// client; the connection is intact.
type DecodeError struct {
	Problem *problem.Problem
}

// Error returns the detail of the problem.
func (e *DecodeError) Error() string { return e.Problem.Detail }

// Unwrap returns the problem.
func (e *DecodeError) Unwrap() error { return e.Problem }

// ErrTooLarge is returned by [Whole.Zstd] for data that expands beyond the limit.
var ErrTooLarge = errors.New("the decompressed data is too large")

// Whole decompresses whole bodies. Safe for concurrent use.
type Whole struct{ zstd *zstd.Decoder }

// NewWhole returns a Whole.
func NewWhole() Whole {
	d, err := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(Window), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are valid
	}
	return Whole{d}
}

// Zstd decompresses data of zstd to at most limit bytes, in a buffer of limit+1 bytes. The
// error is [ErrTooLarge] or a [DecodeError].
func (w Whole) Zstd(data []byte, limit int64) ([]byte, error) {
	room, err := w.zstd.DecodeAll(data, make([]byte, 0, limit+1))
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), int64(len(room)) > limit:
		return nil, ErrTooLarge
	case err != nil:
		return nil, damaged(Zstd, err)
	}
	return room, nil
}

// A Body is the body of a request as the client sends it.
type Body interface {
	io.Reader
	// Count returns the number of bytes that were read.
	Count() int64
	// Err returns the error of the connection, or nil if it is intact.
	Err() error
}

// A Decoder decompresses a body while it is read. It reads nothing from the body before its
// first Read: until then a client that waits for "100 Continue" has sent nothing.
type Decoder struct {
	// Coding is the coding of the body, gzip or zstd.
	Coding string
	// Body is the body of the request, and From a reader of its bytes, usually the same.
	Body Body
	From io.Reader
	// Bounded limits the ratio of decompressed to compressed bytes.
	Bounded bool

	in    io.Reader
	close func()
	out   int64
}

// Read reads decompressed bytes. The error is that of the body, or a [DecodeError].
func (d *Decoder) Read(p []byte) (int, error) {
	if d.in == nil {
		if err := d.begin(); err != nil {
			return 0, d.fault(err)
		}
	}
	n, err := d.in.Read(p)
	d.out += int64(n)
	if d.Bounded && d.out > freeExpansion+maxExpansion*d.Body.Count() {
		return 0, &DecodeError{problem.BodyTooLarge.New(fmt.Sprintf("The %s data expands to more than %d times its compressed size. The server stopped reading it.", d.Coding, maxExpansion))}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = d.fault(err)
	}
	return n, err
}

func (d *Decoder) begin() error {
	if d.Coding == Gzip {
		in, err := gzip.NewReader(d.From)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // an empty body is not gzip
		}
		if err != nil {
			return err
		}
		d.in, d.close = in, func() { _ = in.Close() }
		return nil
	}
	in, err := zstd.NewReader(d.From, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(Window))
	if err != nil {
		return err
	}
	d.in, d.close = in, in.Close
	return nil
}

// fault distinguishes an error of the connection from one of the data.
func (d *Decoder) fault(err error) error {
	if failed := d.Body.Err(); failed != nil {
		return failed
	}
	return damaged(d.Coding, err)
}

// Release frees what the decoder holds. Do not call Read afterwards.
func (d *Decoder) Release() {
	if d.close != nil {
		d.close()
	}
}

func damaged(coding string, err error) error {
	detail := "The " + coding + " data of the request body is corrupt."
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		detail = "The " + coding + " data of the request body is incomplete."
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		detail = "The zstd data of the request body needs a window of more than 8 MiB, which HTTP does not allow (RFC 9659)."
	}
	return &DecodeError{problem.MalformedRequest.Because(err, detail)}
}
