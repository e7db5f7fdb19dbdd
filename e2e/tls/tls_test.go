// Package tls_test tests encrypted listeners and the credentials of operators, on processes as
// users run them.
package tls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

const token = "a-token-of-operators"

// A rig is one process with encrypted listeners. Its admin listener requires a credential.
type rig struct {
	*cluster.Process
	authority *cluster.Authority
	dir       string // contains tls.crt and tls.key of both listeners
	kafka     string
}

func newRig(t *testing.T, settings map[string]string) *rig {
	t.Helper()
	r := &rig{authority: cluster.NewAuthority(t, "authority"), dir: t.TempDir(), kafka: cluster.Address(t)}
	r.rotate(t)
	tokenFile := filepath.Join(r.dir, "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{
		"CLUSTERLITE_KAFKA_LISTEN":             r.kafka,
		"CLUSTERLITE_TLS_CERT_FILE":            filepath.Join(r.dir, "tls.crt"),
		"CLUSTERLITE_TLS_KEY_FILE":             filepath.Join(r.dir, "tls.key"),
		"CLUSTERLITE_ADMIN_TLS_CERT_FILE":      filepath.Join(r.dir, "tls.crt"),
		"CLUSTERLITE_ADMIN_TLS_KEY_FILE":       filepath.Join(r.dir, "tls.key"),
		"CLUSTERLITE_ADMIN_TLS_CA_FILE":        r.authority.File,
		"CLUSTERLITE_ADMIN_TLS_CLIENT_CA_FILE": r.authority.File,
		"CLUSTERLITE_ADMIN_TOKEN_FILE":         tokenFile,
	}
	for name, value := range settings {
		all[name] = value
	}
	r.Process = cluster.Encrypted(t, all)
	r.Start()
	r.await(t)
	return r
}

// rotate replaces the certificate of the listeners. It writes the key first. Until it has
// written the certificate, the pair does not match and the previous pair stays in effect.
func (r *rig) rotate(t *testing.T) {
	t.Helper()
	pair := r.authority.Issue(t, "server", time.Now().Add(time.Hour))
	for name, from := range map[string]string{"tls.key": pair.Key, "tls.crt": pair.Cert} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		next := filepath.Join(r.dir, name+".next")
		if err := os.WriteFile(next, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// client returns a client that trusts the authority and may have a certificate.
func (r *rig) client(t *testing.T, certificate *cluster.Pair) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(r.authority.File)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(ca)
	if certificate != nil {
		pair, err := tls.LoadX509KeyPair(certificate.Cert, certificate.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func (r *rig) await(t *testing.T) {
	t.Helper()
	c := r.client(t, nil)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if response, err := c.Get(r.Admin + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) || r.Exited() {
			t.Fatalf("got a process that is not ready, want it ready:\n%s", r.Output())
		}
	}
}

func TestListenersAreEncrypted(t *testing.T) {
	r := newRig(t, nil)
	response, err := r.client(t, nil).Post(r.URL+"/users", "application/json", strings.NewReader(`{"name":"Ada","email":"ada@example.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated || response.Proto != "HTTP/2.0" {
		t.Errorf("got %d over %s, want 201 over HTTP/2.0", response.StatusCode, response.Proto)
	}
	if response, err := http.Get("http" + strings.TrimPrefix(r.URL, "https") + "/users"); err == nil {
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("plaintext: got %d, want 400", response.StatusCode)
		}
	}
	for name, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := r.client(t, nil)
		config := c.Transport.(*http.Transport).TLSClientConfig
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, name
		response, err := c.Get(r.URL + "/users")
		if err == nil {
			_ = response.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: got error %v, want success %t", tls.VersionName(name), err, want)
		}
	}
}

// The API can require a client certificate.
func TestClientsOfTheAPINeedACertificate(t *testing.T) {
	authority := cluster.NewAuthority(t, "clients")
	r := newRig(t, map[string]string{"CLUSTERLITE_TLS_CLIENT_CA_FILE": authority.File})
	if response, err := r.client(t, nil).Get(r.URL + "/users"); err == nil {
		_ = response.Body.Close()
		t.Errorf("without a certificate: got %d, want no connection", response.StatusCode)
	}
	pair := authority.Issue(t, "client", time.Now().Add(time.Hour))
	response, err := r.client(t, &pair).Get(r.URL + "/users")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("with a certificate: got %d, want 200", response.StatusCode)
	}
}

// Probes and metrics are open. All other paths of the admin listener require a credential.
func TestAdminListenerIsForOperators(t *testing.T) {
	r := newRig(t, nil)
	foreign, ours := cluster.NewAuthority(t, "foreign").Issue(t, "operator", time.Now().Add(time.Hour)), r.authority.Issue(t, "operator", time.Now().Add(time.Hour))
	get := func(c *http.Client, path, authorization string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.Admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		response, err := c.Do(request)
		if err != nil {
			return 0
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusUnauthorized && response.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("GET %s: got 401 without WWW-Authenticate, want the header", path)
		}
		return response.StatusCode
	}
	anonymous := r.client(t, nil)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if got := get(anonymous, path, ""); got != http.StatusOK {
			t.Errorf("GET %s without a credential: got %d, want 200", path, got)
		}
	}
	for _, path := range []string{"/status", "/snapshot", "/rows", "/digests", "/voids", "/rebuild", "/verify", "/debug/pprof/", "/nothing", "/livez/../status", "//status"} {
		for _, authorization := range []string{"", "Bearer wrong", "Bearer ", "Basic " + token, token, "Bearer " + token + "x"} {
			if got := get(anonymous, path, authorization); got != http.StatusUnauthorized {
				t.Errorf("GET %s with %q: got %d, want 401", path, authorization, got)
			}
		}
	}
	if got := get(anonymous, "/status", "Bearer "+token); got != http.StatusOK {
		t.Errorf("with the token: got %d, want 200", got)
	}
	if got := get(r.client(t, &ours), "/status", ""); got != http.StatusOK {
		t.Errorf("with a certificate: got %d, want 200", got)
	}
	if got := get(r.client(t, &foreign), "/status", ""); got == http.StatusOK {
		t.Errorf("with a foreign certificate: got %d, want no success", got)
	}
	if strings.Contains(r.Output(), token) {
		t.Error("the output contains the token, want it left out")
	}
}

// The tool sends its token only with https, and only to nodes that it trusts.
func TestToolReachesEncryptedNodes(t *testing.T) {
	r := newRig(t, nil)
	foreign := cluster.NewAuthority(t, "foreign")
	run := func(settings map[string]string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, cluster.Binary(t, "clusterlite"), args...)
		cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "CLUSTERLITE_KAFKA_BROKERS=" + r.kafka}
		for name, value := range settings {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	trusted := map[string]string{"CLUSTERLITE_ADMIN_TLS_CA_FILE": r.authority.File, "CLUSTERLITE_ADMIN_TOKEN": token}
	store := filepath.Join(t.TempDir(), "store")
	for _, args := range [][]string{{"status"}, {"verify"}, {"voids"}, {"snapshot", "create", store}, {"rebuild", "--all"}, {"status", "--admin", r.Admin}} {
		if out, err := run(trusted, args...); err != nil {
			t.Errorf("clusterlite %s: got %v, want success\n%s", strings.Join(args, " "), err, out)
		}
	}
	for name, settings := range map[string]map[string]string{
		"foreign authority": {"CLUSTERLITE_ADMIN_TLS_CA_FILE": foreign.File, "CLUSTERLITE_ADMIN_TOKEN": token},
		"no token":          {"CLUSTERLITE_ADMIN_TLS_CA_FILE": r.authority.File},
		"wrong token":       {"CLUSTERLITE_ADMIN_TLS_CA_FILE": r.authority.File, "CLUSTERLITE_ADMIN_TOKEN": "a-wrong-token-of-operators"},
	} {
		out, err := run(settings, "voids")
		if err == nil {
			t.Errorf("%s: got success, want an error\n%s", name, out)
		}
		if strings.Contains(out, token) {
			t.Errorf("%s: the output contains the token, want it left out", name)
		}
	}
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, "clusterlite"), "healthcheck")
	cmd.Env = []string{"CLUSTERLITE_ADMIN_ADDR=" + strings.TrimPrefix(r.Admin, "https://"), "CLUSTERLITE_ADMIN_TLS_CERT_FILE=" + filepath.Join(r.dir, "tls.crt"), "CLUSTERLITE_ADMIN_TLS_KEY_FILE=" + filepath.Join(r.dir, "tls.key")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("healthcheck: got %v, want success\n%s", err, out)
	}
}

// A node without a read model gets a snapshot from an encrypted node.
func TestBootstrapFromAnEncryptedNode(t *testing.T) {
	r := newRig(t, nil)
	settings := map[string]string{
		"CLUSTERLITE_KAFKA_BROKERS": r.kafka, "CLUSTERLITE_BOOTSTRAP": r.Admin,
		"CLUSTERLITE_ADMIN_TLS_CA_FILE": r.authority.File, "CLUSTERLITE_ADMIN_TOKEN": token,
	}
	query := cluster.Service(t, "query", "query-1", settings)
	query.Start()
	query.AwaitReady()
	if out := query.Output(); !strings.Contains(out, "restored a snapshot") {
		t.Errorf("got %s, want a restored snapshot", out)
	}
}

// Requests on existing and new connections succeed while the certificate is replaced. New
// connections see the new certificate.
func TestCertificateIsReplacedUnderLoad(t *testing.T) {
	r := newRig(t, nil)
	var requests, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 4 {
		c := r.client(t, nil)
		c.Transport.(*http.Transport).DisableKeepAlives = i%2 == 0
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				requests.Add(1)
				response, err := c.Get(r.URL + "/users")
				if err != nil {
					t.Error(err)
					failed.Add(1)
					continue
				}
				if response.StatusCode != http.StatusOK {
					failed.Add(1)
				}
				_ = response.Body.Close()
			}
		})
	}
	for range 3 {
		before := serialNumber(t, r)
		r.rotate(t)
		for end := time.Now().Add(30 * time.Second); serialNumber(t, r) == before; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("got the old certificate, want the new one")
			}
		}
	}
	close(stop)
	load.Wait()
	if failed.Load() > 0 || requests.Load() == 0 {
		t.Errorf("got %d failures of %d requests, want none", failed.Load(), requests.Load())
	}
}

// serialNumber returns the serial number of the certificate that a new connection sees.
func serialNumber(t *testing.T, r *rig) string {
	t.Helper()
	c := r.client(t, nil)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	response, err := c.Get(r.URL + "/users")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.TLS.PeerCertificates[0].SerialNumber.String()
}

// Nginx accepts HTTPS from clients, and uses it towards a service.
func TestNginxIsEncrypted(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "embedded") {
		t.Skip("CLUSTERLITE_E2E does not name embedded, the deployment that needs Nginx")
	}
	r := newRig(t, nil)
	nginx := cluster.EncryptedNginx(t, r.authority.Issue(t, "nginx", time.Now().Add(time.Hour)), r.authority, []string{r.URL}, []string{r.URL})
	c := r.client(t, nil)
	response, err := c.Post(nginx.URL+"/users", "application/json", strings.NewReader(`{"name":"Ada","email":"ada@example.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("POST: got %d, want 201", response.StatusCode)
	}
	response, err = c.Get(nginx.URL + response.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("GET: got %d with Strict-Transport-Security %q, want 200 with one", response.StatusCode, response.Header.Get("Strict-Transport-Security"))
	}
	// Plain HTTP is redirected, and nothing else.
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err = plain.Get(nginx.Admin + "/users?limit=1")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode/100 != 3 || !strings.HasPrefix(response.Header.Get("Location"), "https://") || !strings.HasSuffix(response.Header.Get("Location"), "/users?limit=1") {
		t.Errorf("plain HTTP: got %d to %q, want a redirect to the same path with https", response.StatusCode, response.Header.Get("Location"))
	}
	imported, err := c.Post(nginx.URL+"/users", "application/x-ndjson", strings.NewReader(`{"name":"Bob","email":"bob@example.com"}`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	_ = imported.Body.Close()
	if imported.StatusCode != http.StatusOK {
		t.Errorf("import: got %d, want 200", imported.StatusCode)
	}
	// A service whose certificate Nginx does not trust receives no request.
	distrustful := cluster.EncryptedNginx(t, r.authority.Issue(t, "nginx", time.Now().Add(time.Hour)), cluster.NewAuthority(t, "foreign"), []string{r.URL}, []string{r.URL})
	response, err = c.Get(distrustful.URL + "/users")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("untrusted service: got %d, want 503", response.StatusCode)
	}
}
