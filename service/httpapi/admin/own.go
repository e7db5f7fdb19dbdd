package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/service/httpclient"
)

// healthTimeout is how long a health check waits for an answer.
const healthTimeout = 2 * time.Second

var health = NewClient(httpclient.Limits{Connect: healthTimeout, Answer: healthTimeout, Stall: healthTimeout})

// CheckHealth asks the admin listener at addr, on this host, whether its process is ready. If
// it is not, the error has the reason. The HEALTHCHECK of a container runs it. If encrypted is
// set it uses TLS, and does not verify the certificate, which need not be for the loopback
// address: the request holds no secret.
func CheckHealth(ctx context.Context, addr string, encrypted bool) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	base, access, err := ownListener(addr, encrypted)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(WithAccess(ctx, access), http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := health.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var said readiness
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if !said.Ready {
		return errors.New("not ready: " + said.Reason)
	}
	return nil
}

// ownListener returns the URL of the admin listener at addr on this host, and how to reach it.
func ownListener(addr string, encrypted bool) (string, Access, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", Access{}, fmt.Errorf("invalid admin address: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if !encrypted {
		return "http://" + net.JoinHostPort(host, port), Access{}, nil
	}
	return "https://" + net.JoinHostPort(host, port), Access{TLS: func() *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	}}, nil
}

// drainTimeout is how long a drain may take: the longest wait for load balancers, and the requests in
// flight.
const drainTimeout = 11 * time.Minute

var drains = NewClient(httpclient.Limits{Connect: healthTimeout, Answer: drainTimeout, Stall: drainTimeout})

// Drain asks the process whose admin listener is at addr, on this host, to drain its API, and
// returns once that is done. token is the operators' token, or nil. As for [CheckHealth], the
// certificate is not verified: the listener is on this host, and whoever could take its port there
// before the process could also read the token.
func Drain(ctx context.Context, addr string, encrypted bool, token func() string) error {
	base, access, err := ownListener(addr, encrypted)
	if err != nil {
		return err
	}
	access.Token = token
	r, err := http.NewRequestWithContext(WithAccess(ctx, access), http.MethodPost, base+"/drain", nil)
	if err != nil {
		return err
	}
	response, err := drains.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var p struct{ Title, Detail string }
	if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	return fmt.Errorf("%s: %s", p.Title, p.Detail)
}
