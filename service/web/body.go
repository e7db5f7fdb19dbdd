package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/problem"
)

// bodyTimeout is how long a body may bring nothing.
const bodyTimeout = 30 * time.Second

// limitBody refuses a body that is too large, before it is read if it says so, and one
// that comes too slowly.
func limitBody(most int64) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if r.Body == nil || r.Body == http.NoBody {
				return next(c)
			}
			if streams(r) {
				// Its handler bounds each line.
				r.Body = &slowBody{ReadCloser: r.Body, control: http.NewResponseController(c.Response())}
				return next(c)
			}
			slow := &slowBody{ReadCloser: r.Body, control: http.NewResponseController(c.Response())}
			if r.ContentLength > most {
				drain(slow)
				return problem.BodyTooLarge.New(fmt.Sprintf("A body may have %d bytes; this one has %d.", most, r.ContentLength))
			}
			r.Body = http.MaxBytesReader(nil, slow, most)
			err := next(c)
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				drain(slow)
			}
			return err
		}
	}
}

// streams tells whether a body is one of lines, which may be of any length in all.
func streams(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-ndjson")
}

// drained is the most that is read of a body that is refused.
const drained = 8 << 20

// drain reads on, within bounds. A client, or a proxy, that is still sending when the
// connection is closed sees a reset in place of the answer.
func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, drained) }

// slowBody ends a body that brings nothing for too long.
type slowBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *slowBody) Read(p []byte) (int, error) {
	// A connection that can't have a deadline, as in tests, has none.
	_ = b.control.SetReadDeadline(time.Now().Add(bodyTimeout))
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, problem.RequestTimeout.New(fmt.Sprintf("The body brought nothing for %s.", bodyTimeout)).Set("Connection", "close")
	}
	return n, err
}

// ReadBody reads the whole body. The errors are problems.
func ReadBody(r *http.Request) ([]byte, error) {
	size := r.ContentLength
	if size < 0 {
		size = 512
	}
	b := make([]byte, 0, size+1)
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, bodyError(err)
		case len(b) == cap(b):
			b = append(b, 0)[:len(b)]
		}
	}
}

func bodyError(err error) error {
	var p *problem.Problem
	var large *http.MaxBytesError
	if errors.As(err, &p) || errors.As(err, &large) {
		return err
	}
	return problem.MalformedRequest.Because(err, "The body broke off.")
}
