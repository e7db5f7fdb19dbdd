package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Operators decide who may use the resources that are not public. Health, readiness and metrics
// are always public. The zero value admits every client.
type Operators struct {
	// Token returns the token that operators present; nil if there is none.
	Token func() string
	// Certificates reports that a verified client certificate is a credential.
	Certificates bool
}

// open are the paths that need no credential, for probes and for Prometheus.
var open = map[string]bool{"/livez": true, "/readyz": true, "/metrics": true}

// guard rejects requests without a credential.
func (o Operators) guard(h http.Handler) http.Handler {
	if o.Token == nil && !o.Certificates {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open[r.URL.Path] && !o.admits(r) {
			Refuse(w, problem.Unauthorized.New("This resource is for operators. Send the token of CLUSTERLITE_ADMIN_TOKEN as a bearer token, or use a client certificate that the node trusts.").
				Set("WWW-Authenticate", `Bearer realm="clusterlite admin"`))
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (o Operators) admits(r *http.Request) bool {
	if o.Certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if o.Token == nil {
		return false
	}
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	// Sums have the same length, so the comparison takes the same time for every input.
	want, got := sha256.Sum256([]byte(o.Token())), sha256.Sum256([]byte(presented))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
