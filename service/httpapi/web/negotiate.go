package web

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Accepts picks the offered media type that the client likes best, the first of equals.
//
// A client that names none of them gets the first: RFC 9110, 12.5.1, lets a server
// disregard Accept, and most clients are better off with that answer than with none. Only
// a client that rules out the first, with q=0, and accepts no other gets an error, which
// is a problem.
func Accepts(r *http.Request, offered ...string) (string, error) {
	header := r.Header.Values("Accept")
	if len(header) == 0 || len(header) == 1 && (header[0] == "*/*" || header[0] == offered[0]) {
		return offered[0], nil
	}
	ranges := parseAccept(strings.Join(header, ","), 1) // a mistake must not rule out a type
	best, most := "", 0.0
	for _, offer := range offered {
		if q, _ := quality(ranges, offer); q > most {
			best, most = offer, q
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

// A mediaRange is a part of an Accept field.
type mediaRange struct {
	name string
	q    float64
}

// parseAccept reads the ranges of an Accept field, or the codings of an Accept-Encoding
// field. A weight that can't be read counts as unreadable.
func parseAccept(header string, unreadable float64) []mediaRange {
	var ranges []mediaRange
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		r := mediaRange{strings.ToLower(strings.TrimSpace(name)), 1}
		variant := false
		for p := range strings.SplitSeq(parameters, ";") {
			key, value, _ := strings.Cut(p, "=")
			switch key = strings.ToLower(strings.TrimSpace(key)); key {
			case "", "charset":
			case "q":
				r.q = unreadable
				if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
					r.q = q
				}
			default:
				variant = true
			}
		}
		// A variant of a type that is ruled out, such as application/json;v=2;q=0, says
		// nothing about the type itself.
		if r.name != "" && !(variant && r.q == 0) {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// quality is how much the client likes a type: the most specific range counts
// (RFC 9110, 12.5.1). named reports whether any range covers the type.
func quality(ranges []mediaRange, offer string) (q float64, named bool) {
	specific := -1
	kind, _, _ := strings.Cut(offer, "/")
	for _, r := range ranges {
		level := -1
		switch r.name {
		case offer:
			level = 2
		case kind + "/*":
			level = 1
		case "*/*":
			level = 0
		}
		if level > specific || level == specific && level >= 0 && r.q > q {
			q, specific = r.q, level
		}
	}
	return q, specific >= 0
}

// ContentType checks that a body is of one of the allowed media types, and tells which.
// The error is a problem.
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
	if field := acceptField(r.Method); field != "" {
		p.Set(field, strings.Join(allowed, ", "))
	}
	return "", p
}
