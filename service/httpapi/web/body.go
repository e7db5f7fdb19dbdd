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

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const (
	// bodyTimeout is how long a body may bring nothing.
	bodyTimeout = 30 * time.Second
	// wholeBodyTimeout is how long a whole body may take, unless it is one of lines.
	wholeBodyTimeout = time.Minute
	// bodyPiece is how much room a body is given at first. It doubles as the body comes: a
	// client that sends slowly takes no more than it has sent.
	bodyPiece = 4 << 10
)

// ReadBody reads the whole body of a request, decompressed if it is compressed, into
// memory of the request's account. It refuses a body that is too large, one whose coding
// is not known, and one that comes too slowly. Until it is called nothing is read, so a
// client that waits for "100 Continue" sends no body that a handler refuses by its header.
//
// The request takes its place among those that are worked on once its body is here. The
// bytes are the same when it is called again. The error is for the handler to return.
func ReadBody(c echo.Context) ([]byte, error) {
	a := admissionOf(c)
	if a == nil {
		return nil, errors.New("the server does not limit requests") // not made by New
	}
	if a.slow == nil || a.read {
		return a.body, nil
	}
	a.read = true
	b, err := a.readBody(c.Request())
	if err != nil {
		return nil, err
	}
	if err := a.take(c.Request().Context(), int64(len(b))*parsed); err != nil {
		return nil, err
	}
	if err := a.enter(c); err != nil {
		return nil, err
	}
	a.body = b
	return b, nil
}

func (a *admission) readBody(r *http.Request) ([]byte, error) {
	coding, err := contentCoding(r)
	if err != nil {
		return nil, err
	}
	if coding == identity && r.ContentLength > a.mostBody {
		return nil, tooLarge(a.mostBody)
	}
	a.slow.end = time.Now().Add(wholeBodyTimeout)
	if coding == identity {
		return a.gather(r, a.slow, a.mostBody)
	}
	return a.decompress(r, coding)
}

// BodyStream gives the body of a request to read piece by piece, decompressed if it is
// compressed. It may be of any length. An error of Read is a [DecodeError] if the
// compressed data is damaged, or ends too early, or is a bomb; else it is that of the
// connection. The error of BodyStream is for the handler to return.
func BodyStream(c echo.Context) (io.Reader, error) {
	a := admissionOf(c)
	if a == nil || a.slow == nil {
		return strings.NewReader(""), nil
	}
	coding, err := contentCoding(c.Request())
	if err != nil || coding == identity {
		return a.slow, err
	}
	return a.decompressStream(c.Request(), coding)
}

func tooLarge(most int64) error {
	return problem.BodyTooLarge.New(fmt.Sprintf("The request body exceeds the maximum of %d bytes, counted after decompression. Nothing was done.", most))
}

// gather reads all that a reader of the body has.
func (a *admission) gather(r *http.Request, body io.Reader, most int64) ([]byte, error) {
	var b []byte
	for size := int64(bodyPiece); ; size *= 2 {
		// One byte more than there may be tells that there is more.
		size = min(size, most+1)
		if err := a.take(r.Context(), size-int64(cap(b))); err != nil {
			return nil, err
		}
		b = append(make([]byte, 0, size), b...)
		for len(b) < cap(b) {
			n, err := body.Read(b[len(b):cap(b)])
			b = b[:len(b)+n]
			switch {
			case int64(len(b)) > most:
				return nil, tooLarge(a.mostBody)
			case errors.Is(err, io.EOF):
				return b, nil
			case err != nil:
				return nil, bodyError(err)
			}
		}
	}
}

// IsStream tells whether a body is one of lines, which may be of any length in all.
func IsStream(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-ndjson")
}

// drained is the most that is read of a body that is refused.
const drained = 8 << 20

// ErrBodyCut is what reading a body gives after [CutBody].
var ErrBodyCut = errors.New("the server stopped reading the body")

// CutBody makes a Read of the request's body that waits, and all later ones, return
// [ErrBodyCut]. It is for a handler that reads the body in another goroutine and is done
// before the body is. Safe for concurrent use with Read.
func CutBody(c echo.Context) {
	if a := admissionOf(c); a != nil && a.slow != nil {
		a.slow.cutOff()
	}
}

// slowBody ends a body that comes too slowly.
type slowBody struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time // when the whole body must be here; zero if there is no such time
	begun   bool      // something was read, so that the client has leave to send
	ended   bool      // the body is here
	failed  error     // why it will never be here
	count   int64     // bytes that were read

	mu  sync.Mutex // so that a deadline of Read never comes after that of cutOff
	cut bool
}

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
		// net/http reads on, to learn when the client goes. What is done with the body may
		// take its time.
		b.extend(time.Time{})
	}
	return n, err
}

// drain reads on, within bounds. A client, or a proxy, that is still sending when the
// connection is closed sees a reset in place of the answer. A client that waits for
// "100 Continue" is not sending, and a read would ask it to.
func (b *slowBody) drain(r *http.Request) {
	waits := r.Header.Get("Expect") != "" && !b.begun
	if !waits && !b.ended && b.failed == nil {
		_, _ = io.CopyN(io.Discard, b, drained)
	}
}

// extend gives the body time until a deadline, zero for any, unless it was cut.
func (b *slowBody) extend(deadline time.Time) (goesOn bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.cut {
		// A connection that can't have a deadline, as in tests, has none.
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
