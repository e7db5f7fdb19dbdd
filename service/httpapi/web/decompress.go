package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// The content codings of requests and of answers.
const (
	identity = ""
	codeGzip = "gzip"
	codeZstd = "zstd"
)

// acceptedCodings is Accept-Encoding of an answer that refuses a coding (RFC 9110,
// 12.5.3; RFC 7694).
const acceptedCodings = "gzip, zstd, identity"

// A bomb is small and becomes large. What a stream becomes has no bound, but it has one
// in proportion to what the client has sent. JSON lines of a kind shrink to a tenth or
// twentieth, so no honest import comes near.
const (
	freeExpansion = 16 << 20
	mostExpansion = 200
)

// zstdWindow is the largest window of zstd that HTTP has (RFC 9659). A stream takes as
// much memory.
const zstdWindow = 8 << 20

// newZstdDecoder makes what decompresses whole bodies, each into room of its own that
// bounds it. Safe for concurrent use.
func newZstdDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // these options are right
	}
	return d
}

// A DecodeError is returned for a body whose compressed data can't be read. It is a
// problem for the client, and the connection is whole.
type DecodeError struct {
	Problem *problem.Problem
}

// Error says what is wrong with the data.
func (e *DecodeError) Error() string { return e.Problem.Detail }

// Unwrap gives the problem.
func (e *DecodeError) Unwrap() error { return e.Problem }

// contentCoding tells how a body is coded. The error is a problem.
func contentCoding(r *http.Request) (string, error) {
	coding := identity
	for name := range strings.SplitSeq(strings.Join(r.Header.Values("Content-Encoding"), ","), ",") {
		switch name = strings.ToLower(strings.TrimSpace(name)); {
		case name == "" || name == "identity":
		case name == "x-gzip" && coding == identity: // the same (RFC 9110, 8.4.1.3)
			coding = codeGzip
		case (name == codeGzip || name == codeZstd) && coding == identity:
			coding = name
		default:
			return "", problem.UnsupportedMediaType.New("The Content-Encoding of a request body must be gzip or zstd, applied once, or absent. Nothing was done.").Set("Accept-Encoding", acceptedCodings)
		}
	}
	return coding, nil
}

// decompress reads a whole body that is compressed.
func (a *admission) decompress(r *http.Request, coding string) ([]byte, error) {
	// What can't be compressed grows a little. Empty pieces without end are none of ours.
	compressed := &io.LimitedReader{R: a.slow, N: a.mostBody + a.mostBody/64 + 4<<10}
	if coding == codeGzip {
		b, err := a.gather(r, &decoder{coding: coding, slow: a.slow, from: compressed}, a.mostBody)
		if err != nil && compressed.N <= 0 {
			return nil, tooLarge(a.mostBody)
		}
		return b, err
	}
	text, err := a.gather(r, compressed, compressed.N)
	if err != nil {
		return nil, err
	}
	if compressed.N <= 0 {
		return nil, tooLarge(a.mostBody)
	}
	// At once, in room for the largest body: a stream would need a window that may be far
	// larger than the body.
	if err := a.take(r.Context(), a.mostBody+1); err != nil {
		return nil, err
	}
	room, err := a.zstd.DecodeAll(text, make([]byte, 0, a.mostBody+1))
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), int64(len(room)) > a.mostBody:
		return nil, tooLarge(a.mostBody)
	case err != nil:
		return nil, damaged(coding, err)
	}
	b := append(make([]byte, 0, len(room)), room...)
	a.give(a.mostBody + 1 - int64(len(b)))
	return b, nil
}

// decompressStream reads a body piece by piece.
func (a *admission) decompressStream(r *http.Request, coding string) (io.Reader, error) {
	if coding == codeZstd {
		if err := a.take(r.Context(), min(zstdWindow, a.mostMemory/4)); err != nil {
			return nil, err
		}
	}
	d := &decoder{coding: coding, slow: a.slow, from: a.slow, bounded: true}
	a.decoding = d
	return d, nil
}

// A decoder decompresses a body as it is read. Its first Read begins: before, the client
// may have nothing sent, and wait for leave to.
type decoder struct {
	coding  string
	slow    *slowBody
	from    io.Reader // the compressed bytes of slow
	bounded bool      // by the proportion of what comes out to what goes in

	in    io.Reader
	close func()
	out   int64
}

// Read gives decompressed bytes. The error is that of slow, or a [DecodeError].
func (d *decoder) Read(p []byte) (int, error) {
	if d.in == nil {
		if err := d.begin(); err != nil {
			return 0, d.fault(err)
		}
	}
	n, err := d.in.Read(p)
	d.out += int64(n)
	if d.bounded && d.out > freeExpansion+mostExpansion*d.slow.count {
		return 0, &DecodeError{problem.BodyTooLarge.New(fmt.Sprintf("The %s data expands to more than %d times its compressed size. The server stopped reading it.", d.coding, mostExpansion))}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = d.fault(err)
	}
	return n, err
}

func (d *decoder) begin() error {
	if d.coding == codeGzip {
		in, err := gzip.NewReader(d.from)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // no data at all is not gzip
		}
		if err != nil {
			return err
		}
		d.in, d.close = in, func() { _ = in.Close() }
		return nil
	}
	in, err := zstd.NewReader(d.from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return err
	}
	d.in, d.close = in, in.Close
	return nil
}

// fault tells a fault of the connection from one of the data.
func (d *decoder) fault(err error) error {
	if d.slow.failed != nil {
		return d.slow.failed
	}
	return damaged(d.coding, err)
}

// end frees what the decoder holds. Nobody may read any more.
func (d *decoder) end() {
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
	p := problem.MalformedRequest.Because(err, detail)
	return &DecodeError{p}
}
