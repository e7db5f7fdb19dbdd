package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/coding"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
)

const (
	// answerPiece is the number of bytes of a response that are sent at a time.
	answerPiece = 64 << 10
	// pieceTimeout is the maximum time for a client to receive one piece. The server then
	// drops the client, because a response holds more than a connection.
	pieceTimeout = 30 * time.Second
)

// Answer sends a response whose body is ready. It compresses a large body if the client
// accepts that, and sends no body in response to HEAD. Set the ETag, if any, before.
func Answer(c echo.Context, status int, contentType string, body []byte) error {
	w := c.Response()
	if name := chooseCoding(c, len(body)); name != coding.Identity {
		var err error
		if body, err = coding.Compress(c.Request().Context(), name, body); err == nil {
			err = ReserveMemory(c, cap(body))
		}
		if err != nil {
			w.Header().Del("Content-Encoding") // the problem is not compressed
			return err
		}
	}
	SetField(c, "Content-Type", contentType)
	SetField(c, "Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	out := stream.NewWriter(w, pieceTimeout)
	for len(body) > 0 && c.Request().Method != http.MethodHead {
		n, err := out.Write(body[:min(answerPiece, len(body))])
		if err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}
