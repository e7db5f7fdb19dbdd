// Package coding compresses responses and decompresses request bodies. It knows the content
// codings of HTTP that ClusterLite supports, gzip and zstd, and bounds what they may cost:
// the memory of a window, and the size that compressed data may expand to.
//
// Package web applies it to requests and responses, and package contract to entity tags.
package coding

import (
	"net/http"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// The content codings of requests and responses.
const (
	Identity = ""
	Gzip     = "gzip"
	Zstd     = "zstd"
)

// accepted is the Accept-Encoding field of a response that rejects a coding (RFC 9110,
// 12.5.3; RFC 7694).
const accepted = "gzip, zstd, identity"

// OfBody returns the coding of a request's body. The error is a problem.
func OfBody(r *http.Request) (string, error) {
	coding := Identity
	for name := range strings.SplitSeq(strings.Join(r.Header.Values("Content-Encoding"), ","), ",") {
		switch name = strings.ToLower(strings.TrimSpace(name)); {
		case name == "" || name == "identity":
		case name == "x-gzip" && coding == Identity: // a synonym of gzip (RFC 9110, 8.4.1.3)
			coding = Gzip
		case (name == Gzip || name == Zstd) && coding == Identity:
			coding = name
		default:
			return "", problem.UnsupportedMediaType.New("The Content-Encoding of a request body must be gzip or zstd, applied once, or absent. Nothing was done.").Set("Accept-Encoding", accepted)
		}
	}
	return coding, nil
}

// Preferred returns the coding that a client prefers for a response, by its Accept-Encoding
// fields (RFC 9110, 12.5.3), and gzip if it prefers both equally. uncoded reports whether the
// client accepts a response without a coding.
func Preferred(acceptEncoding []string) (coding string, uncoded bool) {
	if len(acceptEncoding) == 0 {
		return Identity, true
	}
	if len(acceptEncoding) == 1 && acceptEncoding[0] == Gzip {
		return Gzip, true
	}
	ranges := negotiation.Ranges(acceptEncoding, 0) // a response without a coding is always correct
	weight := func(names ...string) (q float64, listed bool) {
		for _, name := range append(names, "*") {
			if i := slices.IndexFunc(ranges, func(r negotiation.Range) bool { return r.Name == name }); i >= 0 {
				return ranges[i].Q, true
			}
		}
		return 0, false
	}
	none, listed := weight("identity")
	uncoded = !listed || none > 0
	inGzip, _ := weight(Gzip, "x-gzip")
	inZstd, _ := weight(Zstd)
	coding, q := Gzip, inGzip
	if inZstd > inGzip {
		coding, q = Zstd, inZstd
	}
	if q == 0 || none > q {
		return Identity, uncoded
	}
	return coding, uncoded
}

// MayExclude reports, at little cost, whether an Accept-Encoding field may exclude a coding.
func MayExclude(acceptEncoding string) bool { return strings.Contains(acceptEncoding, "=0") }

// TrimTag removes from the opaque part of an entity tag the suffix that marks the tag of a
// compressed response, such as that of 3-gzip.
func TrimTag(opaque string) string {
	if plain, cut := strings.CutSuffix(opaque, "-"+Gzip); cut {
		return plain
	}
	return strings.TrimSuffix(opaque, "-"+Zstd)
}
