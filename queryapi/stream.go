package queryapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/api"
)

const (
	// flushAt is how much of a stream is gathered before it is sent.
	flushAt = 64 << 10
	// writeTimeout is how long a client may take for that. While a stream lasts, the
	// file's WAL can't be cut, so one that has stopped to read is let go.
	writeTimeout = 30 * time.Second
)

// stream sends all that match, a line each, from one snapshot. It holds no more than a
// piece of it in memory.
func (a *API) stream(c echo.Context, collection *collections.Collection, asked listRequest) error {
	ctx := c.Request().Context()
	s, err := a.Model.LongSnapshot(ctx)
	if err != nil {
		return gone(ctx, err)
	}
	defer func() { _ = s.Close() }() // it only read
	done, err := head(c, s, collection, asked, "n")
	if done || err != nil {
		return gone(ctx, err)
	}
	w := c.Response()
	w.Header().Set("Content-Type", api.NDJSON)
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	w.WriteHeader(http.StatusOK)
	out := &lines{c: c, control: http.NewResponseController(w)}
	_, err = s.List(ctx, collection.Name(), asked.Query, func(rendered []byte) error {
		var err error
		if out.buffer, err = appendFields(out.buffer, rendered, asked.Fields); err != nil {
			return err
		}
		out.buffer = append(out.buffer, '\n')
		if len(out.buffer) < flushAt {
			return nil
		}
		return out.flush()
	})
	if err = errors.Join(err, out.end()); err != nil {
		// The status is sent. A stream that is cut off, not ended, tells the client.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// lines gathers what is sent.
type lines struct {
	c       echo.Context
	control *http.ResponseController
	buffer  []byte
}

func (l *lines) flush() error {
	// A connection that can't have a deadline, as in tests, has none.
	_ = l.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := l.c.Response().Write(l.buffer); err != nil {
		return fmt.Errorf("send a piece of a stream: %w", err)
	}
	l.buffer = l.buffer[:0]
	l.c.Response().Flush()
	return nil
}

// end sends the rest. The connection may serve more requests, and they have no deadline.
func (l *lines) end() error {
	err := l.flush()
	_ = l.control.SetWriteDeadline(time.Time{})
	return err
}
