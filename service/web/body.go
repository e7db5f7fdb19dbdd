package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/problem"
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

// takeBody reads the body of a write into memory of the account. It refuses one that is
// too large, before it is read if it says so, and one that comes too slowly. A body of
// lines is left to its handler, which bounds each line.
func takeBody(c echo.Context, a *account, most int64) error {
	r := c.Request()
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	slow := &slowBody{ReadCloser: r.Body, control: http.NewResponseController(c.Response())}
	r.Body = slow
	switch {
	case r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch:
		return nil // nobody reads it
	case IsStream(r):
		return nil
	case r.ContentLength > most:
		drain(slow)
		return tooLarge(most)
	}
	slow.end = time.Now().Add(wholeBodyTimeout)
	b, err := gather(c, slow, a, most)
	if err != nil {
		return err
	}
	if err := a.take(r.Context(), int64(len(b))*parsed); err != nil {
		return err
	}
	r.Body = gathered{bytes.NewReader(b), b}
	return nil
}

func tooLarge(most int64) error {
	return problem.BodyTooLarge.New(fmt.Sprintf("A body may have %d bytes.", most))
}

// gather reads a whole body.
func gather(c echo.Context, body *slowBody, a *account, most int64) ([]byte, error) {
	var b []byte
	for size := int64(bodyPiece); ; size *= 2 {
		// One byte more than there may be tells that there is more.
		size = min(size, most+1)
		if err := a.take(c.Request().Context(), size-int64(cap(b))); err != nil {
			drain(body)
			return nil, err
		}
		b = append(make([]byte, 0, size), b...)
		n, err := io.ReadFull(body, b[len(b):size])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > most:
			drain(body)
			return nil, tooLarge(most)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && body.ended:
			return b, nil
		case err != nil:
			return nil, bodyError(err)
		}
	}
}

// gathered is a body that was read.
type gathered struct {
	*bytes.Reader
	bytes []byte
}

// Close does nothing: net/http closes the body that it made.
func (gathered) Close() error { return nil }

// ReadBody gives the whole body. The error is a problem.
func ReadBody(r *http.Request) ([]byte, error) {
	if g, ok := r.Body.(gathered); ok {
		return g.bytes, nil
	}
	if r.Body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyError(err)
	}
	return b, nil
}

// IsStream tells whether a body is one of lines, which may be of any length in all.
func IsStream(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-ndjson")
}

// drained is the most that is read of a body that is refused.
const drained = 8 << 20

// drain reads on, within bounds. A client, or a proxy, that is still sending when the
// connection is closed sees a reset in place of the answer.
func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, drained) }

// ErrBodyCut is what reading a body gives after [CutBody].
var ErrBodyCut = errors.New("the body is read no further")

// CutBody makes a Read of the request's body that waits, and all later ones, return
// [ErrBodyCut]. It is for a handler that reads the body in another goroutine and is done
// before the body is. Safe for concurrent use with Read.
func CutBody(r *http.Request) {
	if b, ok := r.Body.(*slowBody); ok {
		b.cutOff()
	}
}

// slowBody ends a body that comes too slowly.
type slowBody struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time // when the whole body must be here; zero if there is no such time
	ended   bool      // the body is here

	mu  sync.Mutex // so that a deadline of Read never comes after that of cutOff
	cut bool
}

func (b *slowBody) Read(p []byte) (int, error) {
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
		return n, problem.RequestTimeout.New("The body came too slowly.").Set("Connection", "close")
	case errors.Is(err, io.EOF):
		b.ended = true
		// net/http reads on, to learn when the client goes. What is done with the body may
		// take its time.
		b.extend(time.Time{})
	}
	return n, err
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
	return problem.MalformedRequest.Because(err, "The body broke off.")
}
