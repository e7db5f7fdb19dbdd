package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/coding"
)

// minCompressed is the minimum size of a response that is compressed, in bytes. A smaller one
// fits in one packet uncompressed.
const minCompressed = 1 << 10

// uncompressedKey marks the requests of a server that does not compress responses.
const uncompressedKey = "clusterlite.uncompressed"

// uncompressed is the middleware of a server that does not compress responses.
func uncompressed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(uncompressedKey, true)
		return next(c)
	}
}

// chooseCoding chooses the content coding of a response of the given size and sets the header
// accordingly. A compressed response is another representation, so it has another strong
// entity tag (RFC 9110, 8.8.3.3): "3" becomes "3-gzip". Call chooseCoding after the ETag is
// set.
func chooseCoding(c echo.Context, size int) string {
	if c.Response().Header().Get("Content-Encoding") != "" {
		return coding.Identity // the handler has compressed it
	}
	accepted := c.Request().Header["Accept-Encoding"]
	if size < minCompressed && !slices.ContainsFunc(accepted, coding.MayExclude) {
		return coding.Identity // the same for all clients that accept a response without a coding
	}
	if c.Get(uncompressedKey) != nil {
		return coding.Identity
	}
	h := c.Response().Header()
	AddVary(h, "Accept-Encoding")
	name, uncoded := coding.Preferred(accepted)
	if name == coding.Identity || size < minCompressed && uncoded {
		return coding.Identity
	}
	h.Set("Content-Encoding", name)
	if etag := h.Get("ETag"); strings.HasPrefix(etag, `"`) {
		h.Set("ETag", strings.TrimSuffix(etag, `"`)+"-"+name+`"`)
	}
	return name
}

// AddVary adds a field name to Vary unless it is listed already.
func AddVary(h http.Header, name string) {
	for _, list := range h["Vary"] {
		for field := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(field), name) {
				return
			}
		}
	}
	h.Add("Vary", name)
}

// NotModified sends a 304. size is the size of the response that the client would otherwise
// get: a 304 has the Vary field of that response (RFC 9110, 15.4.5).
func NotModified(c echo.Context, size int) error {
	if size >= minCompressed && c.Get(uncompressedKey) == nil {
		AddVary(c.Response().Header(), "Accept-Encoding")
	}
	return c.NoContent(http.StatusNotModified)
}
