package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
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
			if r.ContentLength > most {
				return problem.BodyTooLarge.New(fmt.Sprintf("A body may have %d bytes; this one has %d.", most, r.ContentLength)).Set("Connection", "close")
			}
			r.Body = http.MaxBytesReader(c.Response(), &slowBody{ReadCloser: r.Body, control: http.NewResponseController(c.Response())}, most)
			return next(c)
		}
	}
}

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
