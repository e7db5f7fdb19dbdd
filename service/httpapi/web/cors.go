package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// CORS configures which scripts of other origins may call the API, and with which header
// fields. Credentials are never allowed, because the API has none.
type CORS struct {
	// Origins are the origins whose scripts may call the API; * means all.
	Origins []string
	// AllowHeaders are request header fields that scripts may send besides those of the API,
	// such as those that a proxy in front of it reads.
	AllowHeaders []string
	// ExposeHeaders are response header fields that scripts may read besides those of the API.
	ExposeHeaders []string
}

var (
	corsMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	// requestHeaders are all fields that the API reads, and Authorization for a proxy that
	// requires it. A script in a browser can't send a field that is missing here.
	requestHeaders = []string{
		"Accept", "Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key",
		"If-Match", "If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "Last-Event-ID",
		"Clusterlite-Consistency", "Clusterlite-Min-Position", "X-Request-Id", "traceparent", "tracestate",
	}
	// answerHeaders are all fields that the API sets and scripts may need.
	answerHeaders = []string{
		"Accept", "Accept-Encoding", "Accept-Patch", "Accept-Post", "Allow", "Content-Encoding", "Date", "ETag", "Last-Modified", "Link", "Location",
		"RateLimit", "RateLimit-Policy", "Retry-After", "Total-Count", "Vary", "WWW-Authenticate", "X-Request-Id", "Clusterlite-Consistency", "Clusterlite-Position",
		"Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Cursor",
	}
)

// preflightAge is the number of seconds for which a browser may cache the response to a
// preflight. Browsers limit it to two hours.
const preflightAge = "7200"

// middleware lets scripts of the allowed origins call the API and read its header fields, and
// answers preflights. The response to a preflight depends only on the origin.
func (o CORS) middleware() echo.MiddlewareFunc {
	anyOrigin := slices.Contains(o.Origins, "*")
	methods := strings.Join(corsMethods, ", ")
	allow := strings.Join(slices.Concat(requestHeaders, o.AllowHeaders), ", ")
	expose := strings.Join(slices.Concat(answerHeaders, o.ExposeHeaders), ", ")
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r, h := c.Request(), c.Response().Header()
			if !anyOrigin {
				h.Add("Vary", "Origin")
			}
			origin := r.Header.Get("Origin")
			if origin == "" || !anyOrigin && !slices.ContainsFunc(o.Origins, func(allowed string) bool { return strings.EqualFold(allowed, origin) }) {
				return next(c)
			}
			if anyOrigin {
				origin = "*"
			}
			h.Set("Access-Control-Allow-Origin", origin)
			if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
				h.Set("Access-Control-Expose-Headers", expose)
				return next(c)
			}
			h.Set("Access-Control-Allow-Methods", methods)
			h.Set("Access-Control-Allow-Headers", allow)
			h.Set("Access-Control-Max-Age", preflightAge)
			return c.NoContent(http.StatusNoContent)
		}
	}
}
