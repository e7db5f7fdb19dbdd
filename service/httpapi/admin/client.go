package admin

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/clusterlite/clusterlite/service/httpclient"
)

// Access says how requests to admin listeners are encrypted and authenticated. Its functions
// are called for each request, from many goroutines at once, so that replaced files take
// effect without a restart. The zero value trusts the authorities of the system and has no
// credentials.
type Access struct {
	// TLS returns the configuration for https, without a server name; nil means the default.
	TLS func() *tls.Config
	// Token returns the operators' token, or an empty string; nil means none.
	Token func() string
}

type accessKey struct{}

// WithAccess returns a context whose requests use the access. Clients of [NewClient] read it.
func WithAccess(ctx context.Context, a Access) context.Context {
	return context.WithValue(ctx, accessKey{}, a)
}

func accessOf(ctx context.Context) Access {
	a, _ := ctx.Value(accessKey{}).(Access)
	return a
}

// NewClient returns a client of admin listeners. It sends the credentials that the context of
// a request holds, so use it for nothing else. It keeps no connections, because its requests
// are few and a stopping node should not wait for idle connections. Admin listeners are not
// behind a proxy.
func NewClient(l httpclient.Limits) *http.Client {
	c := httpclient.NewClient(l, func(t *http.Transport) {
		t.DisableKeepAlives, t.Proxy = true, nil
		t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialTLS(ctx, t.DialContext, network, addr)
		}
	})
	c.Transport = authenticator{c.Transport}
	return c
}

func dialTLS(ctx context.Context, dial func(ctx context.Context, network, addr string) (net.Conn, error), network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	plain, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if a := accessOf(ctx); a.TLS != nil {
		config = a.TLS().Clone()
	}
	config.ServerName = host
	encrypted := tls.Client(plain, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, err
	}
	return encrypted, nil
}

// authenticator adds the token.
type authenticator struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t authenticator) RoundTrip(r *http.Request) (*http.Response, error) {
	if a := accessOf(r.Context()); a.Token != nil {
		if token := a.Token(); token != "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}
	return t.RoundTripper.RoundTrip(r)
}
