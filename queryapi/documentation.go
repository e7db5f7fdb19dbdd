package queryapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/queryapi/reference"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// documentation serves the page at /docs and its files. The page shows the OpenAPI description.
func documentation(c echo.Context) error {
	files, err := reference.Files()
	if err != nil {
		return err
	}
	file, ok := files[c.Param("*")]
	if !ok {
		return problem.NotFound.New("The documentation page at " + contract.Documentation.Path + " has no file with this name.")
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", reference.Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	if file.Immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	etag, zipped := file.ETag, false
	if file.Gzip != nil {
		web.AddVary(h, "Accept-Encoding")
		if zipped = acceptsGzip(c.Request()); zipped {
			h.Set("Content-Encoding", "gzip")
		} else {
			etag = strings.TrimSuffix(etag, `"`) + `-plain"` // other bytes need another tag
		}
	}
	h.Set("ETag", etag)
	has, err := contract.NoneMatch(c.Request(), etag)
	if err != nil {
		return err
	}
	if has {
		h.Del("Content-Encoding")
		return c.NoContent(http.StatusNotModified)
	}
	body := file.Gzip
	if !zipped {
		if body, err = file.Plain(); err != nil {
			return err
		}
	}
	return web.Answer(c, http.StatusOK, file.Type, body)
}

// acceptsGzip reports whether a client accepts responses that are compressed with gzip.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		if coding = strings.TrimSpace(coding); !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "x-gzip") {
			continue
		}
		_, weight, has := strings.Cut(parameters, "=")
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return !has || err == nil && q > 0
	}
	return false
}
