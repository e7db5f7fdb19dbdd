package web

import (
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/logging"
)

// requestID gives each request an id: the client's, if it is a sane one, else a new one.
func requestID() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			id := c.Request().Header.Get(echo.HeaderXRequestID)
			if !saneID(id) {
				made, err := uuid.NewV7()
				if err != nil {
					return err
				}
				id = made.String()
			}
			c.Response().Header().Set(echo.HeaderXRequestID, id)
			c.SetRequest(c.Request().WithContext(logging.WithRequestID(c.Request().Context(), id)))
			return next(c)
		}
	}
}

// saneID keeps what a client sends from spoiling log lines.
func saneID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':') {
			return false
		}
	}
	return true
}
