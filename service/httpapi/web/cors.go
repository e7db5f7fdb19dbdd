package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// CORS says which scripts of other origins may call the API, and with which header
// fields. Credentials are never allowed: the API knows none.
type CORS struct {
	// Origins are the origins whose scripts may call the API; * is any.
	Origins []string
	// AllowHeaders are request header fields that scripts may send besides those of the
	// API, for what stands in front of it.
	AllowHeaders []string
	// ExposeHeaders are header fields of answers that scripts may read besides those of
	// the API.
	ExposeHeaders []string
}

var (
	corsMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	// requestHeaders are all that the API reads, and Authorization for a proxy that asks
	// for it. A field that is missing here can't be sent by any browser.
	requestHeaders = []string{
		"Accept", "Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key",
		"If-Match", "If-Modified-Since", "If-None-Match", "If-Unmodified-Since",
		"Clusterlite-Consistency", "Clusterlite-Min-Position", "X-Request-Id", "traceparent", "tracestate",
	}
	// answerHeaders are all that the API sets and scripts may want.
	answerHeaders = []string{
		"Accept", "Accept-Encoding", "Accept-Patch", "Accept-Post", "Allow", "Content-Encoding", "Date", "ETag", "Last-Modified", "Link", "Location",
		"Retry-After", "Total-Count", "Vary", "WWW-Authenticate", "X-Request-Id", "Clusterlite-Consistency", "Clusterlite-Position",
	}
)

// preflightAge is how many seconds a browser may keep the answer to a preflight.
// Browsers keep it for two hours at most, whatever is larger.
const preflightAge = "7200"

// middleware lets scripts of the allowed origins call the API and read its headers, and
// answers preflights. The answer to a preflight depends on nothing but the origin.
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
