package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

const (
	allowMethods  = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	allowHeaders  = "Content-Type, Accept, If-Match, If-None-Match, Idempotency-Key, Clusterlite-Consistency, Clusterlite-Min-Position, X-Request-Id, traceparent, tracestate"
	exposeHeaders = "ETag, Location, Link, Last-Modified, Retry-After, Total-Count, X-Request-Id, Allow, Clusterlite-Position, Clusterlite-Consistency"
)

// cors lets scripts of the allowed origins call the API and read its headers, and
// answers preflights. Credentials are never allowed: the API knows none.
func cors(origins []string) echo.MiddlewareFunc {
	anyOrigin := slices.Contains(origins, "*")
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r, h := c.Request(), c.Response().Header()
			if !anyOrigin {
				h.Add("Vary", "Origin")
			}
			origin := r.Header.Get("Origin")
			if origin == "" || !anyOrigin && !slices.ContainsFunc(origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
				return next(c)
			}
			if anyOrigin {
				origin = "*"
			}
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", exposeHeaders)
			if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
				return next(c)
			}
			h.Set("Access-Control-Allow-Methods", allowMethods)
			h.Set("Access-Control-Allow-Headers", allowHeaders)
			h.Set("Access-Control-Max-Age", "86400")
			return c.NoContent(http.StatusNoContent)
		}
	}
}
