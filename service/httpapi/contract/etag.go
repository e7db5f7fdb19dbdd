package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/coding"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// ETag returns the strong entity tag of a version.
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// A Tag is one entity tag of a request.
type Tag struct {
	Weak bool
	// Opaque is the text between the quotes.
	Opaque string
}

// String formats the tag as in a header field.
func (t Tag) String() string {
	if t.Weak {
		return `W/"` + t.Opaque + `"`
	}
	return `"` + t.Opaque + `"`
}

// Version returns the version that the tag names, weak or strong. The tag of a compressed
// response, such as "3-gzip", names the same version as "3".
func (t Tag) Version() (version int64, ok bool) {
	digits := coding.TrimTag(t.Opaque)
	version, err := strconv.ParseInt(digits, 10, 64)
	return version, err == nil && strconv.FormatInt(version, 10) == digits
}

// Tags parses the list of entity tags in If-Match or If-None-Match. anyTag reports whether the
// field is *. The error is a problem.
func Tags(r *http.Request, header string) (tags []Tag, anyTag bool, err error) {
	values := r.Header.Values(header)
	if len(values) == 0 {
		return nil, false, nil
	}
	text := strings.Trim(strings.Join(values, ","), " \t,") // empty elements are allowed (RFC 9110, 5.6.1)
	if text == "*" {
		return nil, true, nil
	}
	for rest := text; rest != ""; {
		t, after, reason := cutTag(rest)
		if reason != "" {
			return nil, false, problem.MalformedRequest.New(fmt.Sprintf(`%s must be * or a list of entity tags such as "3", but %s.`, header, reason))
		}
		tags, rest = append(tags, t), after
	}
	if len(tags) == 0 {
		return nil, false, problem.MalformedRequest.New(header + ` must be * or a list of entity tags such as "3", but it is empty.`)
	}
	return tags, false, nil
}

// cutTag parses one tag and the comma after it (RFC 9110, 8.8.3). If it is malformed, cutTag
// returns the reason.
func cutTag(s string) (t Tag, rest, reason string) {
	s = strings.TrimLeft(s, " \t,")
	word, _, _ := strings.Cut(s, ",")
	word = strings.TrimSpace(word)
	s, t.Weak = strings.CutPrefix(s, "W/")
	switch {
	case word == "*":
		return t, "", "* must not be combined with other tags"
	case strings.HasPrefix(s, "w/"):
		return t, "", "the W of " + Quote(word) + " must be in upper case"
	case !strings.HasPrefix(s, `"`):
		return t, "", Quote(word) + " is not in quotes"
	}
	end := strings.IndexByte(s[1:], '"')
	if end < 0 {
		return t, "", Quote(word) + " lacks its closing quote"
	}
	t.Opaque, rest = s[1:1+end], strings.TrimLeft(s[end+2:], " \t")
	for i := 0; i < len(t.Opaque); i++ {
		if c := t.Opaque[i]; c <= ' ' || c == 0x7f {
			return t, "", Quote(t.Opaque) + " contains a space or a control character"
		}
	}
	if rest != "" && rest[0] != ',' {
		return t, "", Quote(t.String()) + " is not followed by a comma"
	}
	return t, strings.TrimLeft(rest, " \t,"), ""
}

// NoneMatch reports whether If-None-Match lists the tag, by weak comparison: then the client's
// copy is current. The tag of a compressed response counts as that of the uncompressed one. The
// error is a problem.
func NoneMatch(r *http.Request, etag string) (hit bool, err error) {
	matching, err := MatchingTag(r, etag)
	return matching != "", err
}

// MatchingTag returns the tag in If-None-Match that matches etag as in [NoneMatch], or "" if none
// does. It is spelt as the client sent it, but strong if etag is strong. For * it is etag. A
// cache learns from a 304 with this tag which of its responses is still valid. The error is a
// problem.
func MatchingTag(r *http.Request, etag string) (string, error) {
	tags, anyTag, err := Tags(r, "If-None-Match")
	switch {
	case err != nil:
		return "", err
	case anyTag:
		return etag, nil
	}
	opaque, weak := strings.CutPrefix(etag, "W/")
	opaque = strings.Trim(opaque, `"`)
	for _, t := range tags {
		if t.Opaque == opaque || !weak && coding.TrimTag(t.Opaque) == opaque {
			t.Weak = weak
			return t.String(), nil
		}
	}
	return "", nil
}

func parseQuery(raw string) (url.Values, error) { return url.ParseQuery(raw) }
