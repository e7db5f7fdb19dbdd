package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/coding"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const (
	// bodyTimeout is the maximum time that may pass without a byte of the body.
	bodyTimeout = 30 * time.Second
	// wholeBodyTimeout is the maximum time for a whole body, except one of lines.
	wholeBodyTimeout = time.Minute
	// bodyPiece is the maximum initial size of the buffer of a body. The buffer doubles while the
	// body arrives, so a client that sends slowly takes little more memory than it has sent.
	bodyPiece = 4 << 10
)

// ReadBody reads and decompresses the whole body of a request, into memory of the request's
// account. It rejects a body that is too large, has an unknown coding, or arrives too slowly.
// Nothing is read before, so a client that waits for "100 Continue" does not send a body that
// the handler rejects because of the header.
//
// Once the body has arrived, the request takes its slot among those in progress. Later calls
// return the same bytes. The handler must return the error.
func ReadBody(c echo.Context) ([]byte, error) {
	a := admissionOf(c)
	if a == nil {
		return nil, errors.New("the server was not made by web.New")
	}
	if a.slow == nil || a.read {
		return a.body, nil
	}
	a.read = true
	b, err := a.readBody(c.Request())
	if err != nil {
		return nil, err
	}
	if err := a.Take(c.Request().Context(), int64(len(b))*parsed); err != nil {
		return nil, err
	}
	if err := a.enter(c); err != nil {
		return nil, err
	}
	a.body = b
	return b, nil
}

func (a *admission) readBody(r *http.Request) ([]byte, error) {
	name, err := coding.OfBody(r)
	if err != nil {
		return nil, err
	}
	if name == coding.Identity && r.ContentLength > a.maxBody {
		return nil, tooLarge(a.maxBody)
	}
	a.slow.end = time.Now().Add(wholeBodyTimeout)
	if name == coding.Identity {
		return a.gather(r, a.slow, a.maxBody)
	}
	return a.decompress(r, name)
}

// decompress reads a whole compressed body.
func (a *admission) decompress(r *http.Request, name string) ([]byte, error) {
	// Data that can't be compressed grows a little. Longer input is rejected even if it
	// decompresses to little, such as an endless sequence of empty blocks.
	compressed := &io.LimitedReader{R: a.slow, N: a.maxBody + a.maxBody/64 + 4<<10}
	if name == coding.Gzip {
		b, err := a.gather(r, &coding.Decoder{Coding: name, Body: a.slow, From: compressed}, a.maxBody)
		if err != nil && compressed.N <= 0 {
			return nil, tooLarge(a.maxBody)
		}
		return b, err
	}
	text, err := a.gather(r, compressed, compressed.N)
	if err != nil {
		return nil, err
	}
	if compressed.N <= 0 {
		return nil, tooLarge(a.maxBody)
	}
	// Decompress all at once, into room for the largest body: a stream would need a window
	// that may be far larger than the body.
	if err := a.Take(r.Context(), a.maxBody+1); err != nil {
		return nil, err
	}
	room, err := a.whole.Zstd(text, a.maxBody)
	if errors.Is(err, coding.ErrTooLarge) {
		return nil, tooLarge(a.maxBody)
	}
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, len(room)), room...)
	a.Give(a.maxBody + 1 - int64(len(b)))
	return b, nil
}

// BodyStream returns a reader of the decompressed body of a request, which may be of any
// length. An error of Read is a [coding.DecodeError] if the compressed data is damaged,
// incomplete, or a decompression bomb, and otherwise that of the connection. The handler must
// return the error of BodyStream.
func BodyStream(c echo.Context) (io.Reader, error) {
	a := admissionOf(c)
	if a == nil || a.slow == nil {
		return strings.NewReader(""), nil
	}
	name, err := coding.OfBody(c.Request())
	if err != nil || name == coding.Identity {
		return a.slow, err
	}
	if name == coding.Zstd {
		if err := a.Take(c.Request().Context(), min(coding.Window, a.memory.Size/4)); err != nil {
			return nil, err
		}
	}
	a.decoding = &coding.Decoder{Coding: name, Body: a.slow, From: a.slow, Bounded: true}
	return a.decoding, nil
}

func tooLarge(limit int64) error {
	return problem.BodyTooLarge.New(fmt.Sprintf("The request body exceeds the maximum of %d bytes, counted after decompression. Nothing was done.", limit))
}

// gather reads all of a body, or returns an error if it exceeds the limit.
func (a *admission) gather(r *http.Request, body io.Reader, limit int64) ([]byte, error) {
	var b []byte
	for size := firstPiece(r); ; size *= 2 {
		// One byte more than the limit shows that the body exceeds it.
		size = min(size, limit+1)
		if err := a.Take(r.Context(), size-int64(cap(b))); err != nil {
			return nil, err
		}
		b = append(make([]byte, 0, size), b...)
		for len(b) < cap(b) {
			n, err := body.Read(b[len(b):cap(b)])
			b = b[:len(b)+n]
			switch {
			case int64(len(b)) > limit:
				return nil, tooLarge(a.maxBody)
			case errors.Is(err, io.EOF):
				return b, nil
			case err != nil:
				return nil, bodyError(err)
			}
		}
	}
}

// firstPiece returns the initial size of the buffer of a body. Most bodies are small and report
// their length.
func firstPiece(r *http.Request) int64 {
	if r.ContentLength <= 0 || r.Header.Get("Content-Encoding") != "" {
		return bodyPiece
	}
	return min(r.ContentLength, bodyPiece)
}

// IsStream reports whether a body consists of lines, which may be of any total length.
func IsStream(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-ndjson")
}

// drained is the maximum number of bytes that are read of a rejected body.
const drained = 8 << 20

// ErrBodyCut is returned by a Read of the body after [CutBody].
var ErrBodyCut = errors.New("the server stopped reading the body")

// CutBody makes a pending Read of the request's body, and all later ones, return
// [ErrBodyCut]. A handler that reads the body in another goroutine calls it to stop before
// the end of the body. Safe for concurrent use with Read.
func CutBody(c echo.Context) {
	if a := admissionOf(c); a != nil && a.slow != nil {
		a.slow.cutOff()
	}
}

// A slowBody is the body of a request. Its Read fails if the body arrives too slowly.
type slowBody struct {
	io.ReadCloser
	control http.ResponseController
	end     time.Time // deadline of the whole body; zero for none
	begun   bool      // Read was called, so the client was asked to send
	ended   bool      // the whole body has arrived
	failed  error     // why the rest will not arrive
	count   int64     // bytes that were read

	mu  sync.Mutex // orders the deadlines of Read before that of cutOff
	cut bool
}

// Count implements [coding.Body].
func (b *slowBody) Count() int64 { return b.count }

// Err implements [coding.Body].
func (b *slowBody) Err() error { return b.failed }

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.read(p)
	b.begun, b.count = true, b.count+int64(n)
	if err != nil && !b.ended {
		b.failed = err
	}
	return n, err
}

func (b *slowBody) read(p []byte) (int, error) {
	deadline := time.Now().Add(bodyTimeout)
	if !b.end.IsZero() && b.end.Before(deadline) {
		deadline = b.end
	}
	if !b.extend(deadline) {
		return 0, ErrBodyCut
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if !b.extend(time.Now()) {
			return n, ErrBodyCut
		}
		return n, problem.RequestTimeout.New("The client sent the request body too slowly. Send it again on a new connection.").Set("Connection", "close")
	case errors.Is(err, io.EOF):
		b.ended = true
		// net/http reads on to detect that the client disconnects, while the request may take
		// any time.
		b.extend(time.Time{})
	}
	return n, err
}

// drain reads the rest of a rejected body, up to a limit. If the connection were closed while
// a client or a proxy still sends, it would see a reset instead of the response. A client that
// waits for "100 Continue" does not send, and a read would ask it to.
func (b *slowBody) drain(r *http.Request) {
	waits := r.Header.Get("Expect") != "" && !b.begun
	if !waits && !b.ended && b.failed == nil {
		_, _ = io.CopyN(io.Discard, b, drained)
	}
}

// extend sets the deadline of reads, zero for none, unless the body was cut.
func (b *slowBody) extend(deadline time.Time) (goesOn bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.cut {
		// The error says that the connection supports no deadlines, as in tests.
		_ = b.control.SetReadDeadline(deadline)
	}
	return !b.cut
}

func (b *slowBody) cutOff() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = true
	_ = b.control.SetReadDeadline(time.Now()) // as above
}

func bodyError(err error) error {
	var p *problem.Problem
	if errors.As(err, &p) {
		return err
	}
	return problem.MalformedRequest.Because(err, "The request body ended before it was complete.")
}
