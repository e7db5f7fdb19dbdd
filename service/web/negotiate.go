package web

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/service/problem"
)

// Accepts picks the offered media type that the client likes best; the first of equals.
// No Accept header means anything. The error is a problem.
func Accepts(r *http.Request, offered ...string) (string, error) {
	header := r.Header.Values("Accept")
	if len(header) == 0 || len(header) == 1 && (header[0] == "*/*" || header[0] == offered[0]) {
		return offered[0], nil
	}
	best, most := "", 0.0
	ranges := parseAccept(strings.Join(header, ","))
	for _, offer := range offered {
		if q := quality(ranges, offer); q > most {
			best, most = offer, q
		}
	}
	if best == "" {
		return "", problem.NotAcceptable.New("There is: " + strings.Join(offered, ", ") + ".")
	}
	return best, nil
}

type mediaRange struct {
	name string
	q    float64
}

func parseAccept(header string) []mediaRange {
	var ranges []mediaRange
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		r := mediaRange{strings.ToLower(strings.TrimSpace(name)), 1}
		for p := range strings.SplitSeq(parameters, ";") {
			if key, value, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(key), "q") {
				q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil || !(q >= 0 && q <= 1) {
					q = 0
				}
				r.q = q
			}
		}
		if r.name != "" {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// quality is how much the client likes a type: the most specific range counts
// (RFC 9110, 12.5.1).
func quality(ranges []mediaRange, offer string) float64 {
	q, specific := 0.0, -1
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
	return q
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
	p := problem.UnsupportedMediaType.New("The body must be "+strings.Join(allowed, " or ")+", in UTF-8.").Set("Accept", strings.Join(allowed, ", "))
	if field := acceptField(r.Method); field != "" {
		p.Set(field, strings.Join(allowed, ", "))
	}
	return "", p
}
