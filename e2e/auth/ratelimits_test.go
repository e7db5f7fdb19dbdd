package auth_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// from returns a client whose connections come from an address of this host.
func from(t *testing.T, address string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Behind the shipped Nginx, each address has its own limit, for reads and for writes. What a client
// writes into X-Forwarded-For or Forwarded gives it no other limit, neither through Nginx nor directly.
func TestRateLimitsThroughNginx(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "embedded") {
		t.Skip("CLUSTERLITE_E2E does not have embedded, for which Nginx is installed")
	}
	const allowed = 5
	s := cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_RATE_LIMIT_ANONYMOUS": strconv.Itoa(allowed) + "/h", "CLUSTERLITE_TRUSTED_PROXIES": "127.0.0.1",
	})
	s.Start()
	s.AwaitReady()
	nginx := cluster.Nginx(t, []string{s.URL}, []string{s.URL})
	requests := 0
	send := func(client *http.Client, url, method string) *http.Response {
		t.Helper()
		requests++
		body := ""
		if method == http.MethodPost {
			body = fmt.Sprintf(`{"name":"n","email":"n%d@example.com"}`, requests)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, url+"/users", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		forged := fmt.Sprintf("203.0.113.%d", requests)
		r.Header.Set("X-Forwarded-For", forged)
		r.Header.Set("X-Real-Ip", forged)
		r.Header.Set("Forwarded", "for="+forged)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode == http.StatusTooManyRequests && !strings.Contains(string(text), "problems/rate-limited") {
			t.Errorf("got %s, want the problem rate-limited", text)
		}
		return response
	}
	for i, c := range []struct{ name, address, url, method string }{
		{"a client of Nginx", "127.0.0.2", nginx.URL, http.MethodGet},
		{"another client of Nginx", "127.0.0.3", nginx.URL, http.MethodPost},
		{"a client without Nginx", "127.0.0.4", s.URL, http.MethodGet},
	} {
		client := from(t, c.address)
		for n := range allowed {
			response := send(client, c.url, c.method)
			if response.StatusCode/100 != 2 || !strings.Contains(response.Header.Get("RateLimit"), fmt.Sprintf("r=%d", allowed-1-n)) {
				t.Errorf("%s: request %d: got %d, RateLimit %q, want success and %d requests left", c.name, n+1, response.StatusCode, response.Header.Get("RateLimit"), allowed-1-n)
			}
		}
		response := send(client, c.url, c.method)
		if wait, err := strconv.Atoi(response.Header.Get("Retry-After")); response.StatusCode != http.StatusTooManyRequests || err != nil || wait < 1 {
			t.Errorf("%s: request %d: got %d, Retry-After %q, want 429 and a time", c.name, allowed+1, response.StatusCode, response.Header.Get("Retry-After"))
		}
		if i > 0 {
			continue
		}
		// The same address has the same limit without Nginx.
		if response := send(client, s.URL, c.method); response.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s, directly: got %d, want 429", c.name, response.StatusCode)
		}
	}
}
