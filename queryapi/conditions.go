package queryapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// conditions sets the validators of an entity and evaluates the preconditions of the request, in
// the order of RFC 9110, 13.2.2. done reports that the client already has the entity, and that
// the response says so. The error is a problem.
func (a *API) conditions(c echo.Context, e reads.Entity) (done bool, err error) {
	r, h := c.Request(), c.Response().Header()
	etag := contract.ETag(e.Version)
	web.SetField(c, "Etag", etag)
	modified := a.lastModified(e)
	if !modified.IsZero() {
		web.SetField(c, "Last-Modified", httpDate(modified))
	}
	if len(r.Header["If-Match"])+len(r.Header["If-None-Match"])+len(r.Header["If-Modified-Since"])+len(r.Header["If-Unmodified-Since"]) == 0 {
		return false, nil // most reads have no preconditions
	}
	match, err := contract.IfMatch(r)
	if err != nil {
		return false, err
	}
	if !match.Holds(e.Version) || !match.Set && modifiedSince(r, e) {
		return false, match.Mismatch(e.Version)
	}
	if len(r.Header["If-None-Match"]) == 0 {
		if notModifiedSince(r, e, modified) {
			return true, web.NotModified(c, len(e.Rendered))
		}
		return false, nil
	}
	matching, err := contract.MatchingTag(r, etag)
	if err != nil || matching == "" {
		return false, err
	}
	h.Set("ETag", matching)
	return true, web.NotModified(c, len(e.Rendered))
}

// settled is the minimum age of a change for which Last-Modified is sent. The date has a
// resolution of one second, so during that second it might stand for a later change too. A
// further second allows for clocks that differ.
const settled = 2 * time.Second

// lastModified returns the Last-Modified of the entity, or zero while another version might get
// the same date. The date of the first version is always sent: see [notModifiedSince].
func (a *API) lastModified(e reads.Entity) time.Time {
	updated, err := time.Parse(time.RFC3339, e.UpdatedAt) // has a fast path for this layout
	if err != nil {
		return time.Time{}
	}
	second := updated.Truncate(time.Second)
	if e.Version > 1 && a.now().Before(second.Add(settled)) {
		return time.Time{}
	}
	return second
}

// httpDate formats a time in UTC like [http.TimeFormat]. Every read of an entity needs it, and
// formatting by a layout takes several times as long.
func httpDate(t time.Time) string {
	const days, months = "SunMonTueWedThuFriSat", "JanFebMarAprMayJunJulAugSepOctNovDec"
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	two := func(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
	b := make([]byte, 0, len(http.TimeFormat))
	b = append(append(b, days[3*t.Weekday():][:3]...), ", "...)
	b = append(two(b, day), ' ')
	b = append(append(b, months[3*(month-1):][:3]...), ' ')
	b = append(two(two(b, year/100), year%100), ' ')
	b = append(two(b, hour), ':')
	b = append(two(b, minute), ':')
	return string(append(two(b, second), " GMT"...))
}

// notModifiedSince reports whether a client that sends If-Modified-Since has the current version
// of the entity. The date must be the date of this version, or clearly later. A date that might
// be that of another version proves nothing. Neither does a date in between, because dates come
// from the clocks of several nodes, which agree to a second at best.
func notModifiedSince(r *http.Request, e reads.Entity, modified time.Time) bool {
	header := r.Header.Get("If-Modified-Since")
	if header == "" || modified.IsZero() {
		return false
	}
	since, err := http.ParseTime(header)
	if err != nil {
		return false // RFC 9110, 13.1.3: an invalid date is ignored
	}
	if since.Equal(modified) {
		created, err := time.Parse(events.TimeFormat, e.CreatedAt)
		return e.Version == 1 || err == nil && created.Truncate(time.Second).Before(modified)
	}
	return !since.Before(modified.Add(settled))
}

// modifiedSince reports whether the condition in If-Unmodified-Since fails.
func modifiedSince(r *http.Request, e reads.Entity) bool {
	header := r.Header.Get("If-Unmodified-Since")
	if header == "" {
		return false
	}
	since, err := http.ParseTime(header)
	if err != nil {
		return false // RFC 9110, 13.1.4: an invalid date is ignored
	}
	updated, err := time.Parse(events.TimeFormat, e.UpdatedAt)
	return err == nil && since.Before(updated.Truncate(time.Second))
}

func (a *API) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}
