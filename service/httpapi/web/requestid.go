package web

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// identify gives each request an id: the client's if it is valid, otherwise a new one. It comes
// first, because it creates what the server keeps of the request.
func identify() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			id := r.Header.Get(echo.HeaderXRequestID)
			if !validID(id) {
				id = newID(time.Now())
			}
			c.SetRequest(r.WithContext(&request{Context: r.Context(), id: id}))
			SetField(c, headerRequestID, id)
			return next(c)
		}
	}
}

// headerRequestID is the header field of the id, in canonical form.
const headerRequestID = "X-Request-Id"

// newID returns a UUID of version 7. Unlike [uuid.NewV7], it takes no lock and makes no system
// call: an id must be unique, but it may be predictable.
func newID(now time.Time) string {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(now.UnixMilli())<<16|uint64(rand.Uint32()&0x0fff)|0x7000)
	binary.BigEndian.PutUint64(u[8:], rand.Uint64()>>2|0x8000000000000000)
	return u.String()
}

// validID reports whether a client's id is safe to log.
func validID(id string) bool {
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
