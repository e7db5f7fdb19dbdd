package queryapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// stream sends all matching entities from one snapshot, one on each line. It holds no more than
// one piece of the response in memory.
func (a *API) stream(c echo.Context, collection *collections.Collection, asked listing.Request) error {
	ctx := c.Request().Context()
	s, err := a.Model.BeginLongRead(ctx)
	if err != nil {
		return gone(ctx, err)
	}
	defer func() { _ = s.Close() }() // the transaction only reads
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
		return web.NotModified(c, int(^uint(0)>>1)) // it may be large
	}
	out := web.BeginStream(c, contract.NDJSON)
	if c.Request().Method == http.MethodHead {
		out.End(nil)
		return nil
	}
	lines := stream.NewLines(out.Send)
	_, err = s.List(ctx, collection.Name(), asked.Query, func(rendered []byte) error {
		line, err := appendFields(lines.Buffer(), rendered, asked.Fields)
		if err != nil {
			return err
		}
		return lines.Add(line)
	})
	if err == nil {
		err = lines.Flush()
	}
	out.End(err)
	return nil
}
