package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/service/problem"
)

// ETag is the strong entity tag of a version.
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// A Tag is one entity tag of a request.
type Tag struct {
	Weak bool
	// Opaque is what stands between the quotes.
	Opaque string
}

// Tags reads a list of entity tags, as If-Match and If-None-Match have it. any is for *.
// The error is a problem.
func Tags(r *http.Request, header string) (tags []Tag, anyTag bool, err error) {
	values := r.Header.Values(header)
	if len(values) == 0 {
		return nil, false, nil
	}
	text := strings.TrimSpace(strings.Join(values, ","))
	if text == "*" {
		return nil, true, nil
	}
	for rest := text; rest != ""; {
		var t Tag
		t, rest, err = cutTag(rest)
		if err != nil {
			return nil, false, problem.MalformedRequest.New(header + ` must be * or a list of entity tags such as "3".`)
		}
		tags = append(tags, t)
	}
	if len(tags) == 0 {
		return nil, false, problem.MalformedRequest.New(header + ` must be * or a list of entity tags such as "3".`)
	}
	return tags, false, nil
}

var errTag = problem.MalformedRequest.New("not an entity tag")

// cutTag reads one tag and the comma after it (RFC 9110, 8.8.3).
func cutTag(s string) (t Tag, rest string, err error) {
	s = strings.TrimLeft(s, " \t,")
	s, t.Weak = strings.CutPrefix(s, "W/")
	if !strings.HasPrefix(s, `"`) {
		return t, "", errTag
	}
	end := strings.IndexByte(s[1:], '"')
	if end < 0 {
		return t, "", errTag
	}
	t.Opaque, rest = s[1:1+end], strings.TrimLeft(s[end+2:], " \t")
	if rest != "" && rest[0] != ',' {
		return t, "", errTag
	}
	return t, strings.TrimLeft(rest, " \t,"), nil
}

// NoneMatch reports whether If-None-Match has the tag (weak comparison), so that the
// client has what it asks for.
func NoneMatch(r *http.Request, etag string) (hit bool, err error) {
	tags, anyTag, err := Tags(r, "If-None-Match")
	if err != nil || anyTag {
		return anyTag, err
	}
	opaque := strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	for _, t := range tags {
		if t.Opaque == opaque {
			return true, nil
		}
	}
	return false, nil
}

func parseQuery(raw string) (url.Values, error) { return url.ParseQuery(raw) }
