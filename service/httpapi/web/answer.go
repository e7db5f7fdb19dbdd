package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// answerPiece is how much of an answer is sent at a time.
	answerPiece = 64 << 10
	// pieceTimeout is how long a client may take for one piece. One that has stopped
	// reading is let go, since an answer holds on to more than a connection.
	pieceTimeout = 30 * time.Second
)

// Answer answers with bytes that are ready, compressed if they are many and the client
// likes that. To HEAD it sends no body. The ETag, if there is one, is to be set before.
func Answer(c echo.Context, status int, contentType string, body []byte) error {
	w := c.Response()
	if coding := chooseCoding(c, len(body)); coding != identity {
		var err error
		if body, err = compress(c, coding, body); err != nil {
			w.Header().Del("Content-Encoding") // the problem is not compressed
			return err
		}
	}
	SetField(c, "Content-Type", contentType)
	SetField(c, "Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	control := http.NewResponseController(w)
	for len(body) > 0 && c.Request().Method != http.MethodHead {
		// A connection that can't have a deadline, as in tests, has none.
		_ = control.SetWriteDeadline(time.Now().Add(pieceTimeout))
		n, err := w.Write(body[:min(answerPiece, len(body))])
		if err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}
