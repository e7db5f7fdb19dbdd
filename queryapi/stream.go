package queryapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// pieceSize is how much of a stream is gathered before it is sent, and how much memory a
// page takes at first.
const pieceSize = 64 << 10

// stream sends all that match, a line each, from one snapshot. It holds no more than a
// piece of it in memory.
func (a *API) stream(c echo.Context, collection *collections.Collection, asked listing.Request) error {
	ctx := c.Request().Context()
	s, err := a.Model.BeginLongRead(ctx)
	if err != nil {
		return gone(ctx, err)
	}
	defer func() { _ = s.Close() }() // it only read
	outline, err := a.outline(ctx, s, collection, asked, "n")
	if err != nil {
		return gone(ctx, err)
	}
	contract.SetPosition(c.Response().Header(), int64(s.At))
	has, err := outline.describe(c)
	if err != nil {
		return err
	}
	if has {
		return web.NotModified(c, int(^uint(0)>>1)) // it may be a long one
	}
	out := web.BeginStream(c, contract.NDJSON)
	if c.Request().Method == http.MethodHead {
		out.End(nil)
		return nil
	}
	piece := make([]byte, 0, pieceSize+4<<10)
	_, err = s.List(ctx, collection.Name(), asked.Query, func(rendered []byte) (err error) {
		if piece, err = appendFields(piece, rendered, asked.Fields); err != nil {
			return err
		}
		if piece = append(piece, '\n'); len(piece) < pieceSize {
			return nil
		}
		_, err = out.Write(piece)
		piece = piece[:0]
		return err
	})
	if err == nil && len(piece) > 0 {
		_, err = out.Write(piece)
	}
	out.End(err)
	return nil
}
