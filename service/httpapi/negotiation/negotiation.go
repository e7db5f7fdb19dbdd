// Package negotiation reads what a client accepts and what it sends: the Accept fields and
// Content-Type of RFC 9110. Both APIs use it to choose representations, and package coding
// to choose content codings.
package negotiation

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Accepts returns the offered media type that the client prefers, or the first of those that
// it prefers equally.
//
// If the client accepts none of them, Accepts returns the first: RFC 9110, 12.5.1, lets a
// server disregard Accept, and most clients are better off with that response than with
// none. Only a client that excludes the first type with q=0, and accepts no other, gets an
// error, which is a problem.
func Accepts(r *http.Request, offered ...string) (string, error) {
	header := r.Header.Values("Accept")
	if len(header) == 0 || len(header) == 1 && (header[0] == "*/*" || header[0] == offered[0]) {
		return offered[0], nil
	}
	ranges := Ranges(header, 1) // a typing error must not exclude a type
	best, weight := "", 0.0
	for _, offer := range offered {
		if q, _ := quality(ranges, offer); q > weight {
			best, weight = offer, q
		}
	}
	if best != "" {
		return best, nil
	}
	if _, named := quality(ranges, offered[0]); named {
		return "", problem.NotAcceptable.New("The Accept field rules out " + strings.Join(offered, " and ") +
			", and no other representation exists. Nothing was done. Remove q=0 from the field, or omit the field.")
	}
	return offered[0], nil
}

// A Range is one element of an Accept or Accept-Encoding field.
type Range struct {
	// Name is the media range or the content coding, in lower case.
	Name string
	// Q is the weight, from 0 to 1. Zero excludes what Name covers.
	Q float64
}

// Ranges reads the elements of an Accept or Accept-Encoding field. A malformed weight counts
// as the given one.
func Ranges(header []string, malformed float64) []Range {
	var ranges []Range
	for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
		name, parameters, _ := strings.Cut(part, ";")
		r := Range{strings.ToLower(strings.TrimSpace(name)), 1}
		variant := false
		for p := range strings.SplitSeq(parameters, ";") {
			key, value, _ := strings.Cut(p, "=")
			switch key = strings.ToLower(strings.TrimSpace(key)); key {
			case "", "charset":
			case "q":
				r.Q = malformed
				if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
					r.Q = q
				}
			default:
				variant = true
			}
		}
		// Excluding a variant of a type, such as application/json;v=2;q=0, says nothing about
		// the type itself.
		if r.Name != "" && !(variant && r.Q == 0) {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// quality returns the weight of a type, which is that of the most specific range that covers
// it (RFC 9110, 12.5.1). named reports whether any range does.
func quality(ranges []Range, offer string) (q float64, named bool) {
	specific := -1
	kind, _, _ := strings.Cut(offer, "/")
	for _, r := range ranges {
		level := -1
		switch r.Name {
		case offer:
			level = 2
		case kind + "/*":
			level = 1
		case "*/*":
			level = 0
		}
		if level > specific || level == specific && level >= 0 && r.Q > q {
			q, specific = r.Q, level
		}
	}
	return q, specific >= 0
}

// ContentType returns the media type of a body if it is one of the allowed types, and
// otherwise an error, which is a problem.
func ContentType(r *http.Request, allowed ...string) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == allowed[0] {
		return header, nil
	}
	name, parameters, err := mime.ParseMediaType(header)
	if err == nil {
		for _, a := range allowed {
			charset, has := parameters["charset"]
			if name == a && (!has || strings.EqualFold(charset, "utf-8")) {
				return a, nil
			}
		}
	}
	p := problem.UnsupportedMediaType.New("The request body must be "+strings.Join(allowed, " or ")+", in UTF-8.").Set("Accept", strings.Join(allowed, ", "))
	if field := AcceptField(r.Method); field != "" {
		p.Set(field, strings.Join(allowed, ", "))
	}
	return "", p
}

// AcceptField returns the header field of a response that lists the media types of bodies
// that a method accepts, or "" if there is no such field.
func AcceptField(method string) string {
	switch method {
	case http.MethodPatch:
		return "Accept-Patch"
	case http.MethodPost:
		return "Accept-Post"
	}
	return ""
}
