package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Operators decide who may use the resources that are not public. Health, readiness and metrics
// are always public. The zero value admits no client.
type Operators struct {
	// Token returns the token that operators present; nil if there is none.
	Token func() string
	// Certificates reports that a verified client certificate is a credential.
	Certificates bool
	// Local reports that the listener is bound to loopback. If there is neither a token nor an
	// authority for certificates, a local listener admits every program of this host, and any
	// other listener admits no one.
	Local bool
}

// Identified reports whether there is a credential that operators can present.
func (o Operators) Identified() bool { return o.Token != nil || o.Certificates }

// Loopback reports whether only programs of this host can reach a listener with the address.
func Loopback(bound net.Addr) bool {
	address, ok := bound.(*net.TCPAddr)
	return ok && address.IP.IsLoopback()
}

// open are the paths that need no credential, for probes and for Prometheus.
var open = map[string]bool{"/livez": true, "/readyz": true, "/metrics": true}

// guard rejects requests without a credential.
func (o Operators) guard(h http.Handler) http.Handler {
	reject := o.rejectStrangers
	if !o.Identified() {
		reject = rejectAll
		if o.Local {
			reject = rejectPages
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open[r.URL.Path] {
			if p := reject(r); p != nil {
				WriteProblem(w, p)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// rejectStrangers rejects requests without one of the credentials.
func (o Operators) rejectStrangers(r *http.Request) *problem.Problem {
	if o.admits(r) {
		return nil
	}
	return problem.Unauthorized.New("This resource is for operators. Send the token of CLUSTERLITE_ADMIN_TOKEN as a bearer token, or use a client certificate that the node trusts.").
		Set("WWW-Authenticate", `Bearer realm="clusterlite admin"`)
}

// rejectAll rejects every request, because no credential has been set and other hosts can
// reach the listener.
func rejectAll(*http.Request) *problem.Problem {
	return problem.CredentialNotSet.New("This admin listener can be reached from other hosts, so this resource is for operators only, and the node knows no credential of operators. " +
		"Set CLUSTERLITE_ADMIN_TOKEN_FILE to the same token for all nodes and for the tool, or bind the listener to loopback (CLUSTERLITE_ADMIN_ADDR).")
}

// rejectPages rejects requests that a page in a browser on this host may have sent. A page of
// another site can send requests to loopback addresses, and it can read the answers if its own
// host name leads to such an address.
func rejectPages(r *http.Request) *problem.Problem {
	if !loopbackHost(r.Host) || r.Header.Get("Origin") != "" || strings.EqualFold(r.Header.Get("Sec-Fetch-Site"), "cross-site") {
		return problem.CredentialNotSet.New("A page of another site seems to have sent this request. Without a credential of operators, this node answers only programs of its host that address it as localhost or by a loopback address. " +
			"Set CLUSTERLITE_ADMIN_TOKEN_FILE to use other names.")
	}
	return nil
}

// loopbackHost reports whether the Host header field names this host: a loopback address or
// localhost, with or without a port.
func loopbackHost(field string) bool {
	host, _, err := net.SplitHostPort(field)
	if err != nil {
		host = strings.Trim(field, "[]")
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
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
