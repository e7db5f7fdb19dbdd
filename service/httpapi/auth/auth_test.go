package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/clusterlite/clusterlite/service/httpapi/auth"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const (
	issuer   = "https://login.example.com"
	audience = "clusterlite"
)

// A signer is a key of an identity provider.
type signer struct {
	id        string
	algorithm jose.SignatureAlgorithm
	private   any
}

func newSigner(t *testing.T, id string, algorithm jose.SignatureAlgorithm) signer {
	t.Helper()
	var private any
	var err error
	switch algorithm {
	case jose.RS256, jose.RS512:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, algorithm, private}
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.private.(crypto.Signer).Public(), KeyID: s.id, Algorithm: string(s.algorithm), Use: "sig"}
}

// valid are the claims of a token that is accepted.
func valid() map[string]any {
	return map[string]any{"iss": issuer, "aud": audience, "sub": "ada", "exp": time.Now().Add(time.Hour).Unix()}
}

func with(changes map[string]any) map[string]any {
	claims := valid()
	for name, value := range changes {
		if value == nil {
			delete(claims, name)
		} else {
			claims[name] = value
		}
	}
	return claims
}

func (s signer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if s.id != "" {
		options = options.WithHeader("kid", s.id)
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.private}, options)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(made).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func keySet(t *testing.T, signers ...signer) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, s := range signers {
		set.Keys = append(set.Keys, s.public())
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func keyFile(t *testing.T, signers ...signer) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, keySet(t, signers...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newVerifier(t *testing.T, keys string) *auth.Verifier {
	t.Helper()
	v, err := auth.New(auth.Options{
		Keys: keys, Issuer: issuer, Audience: audience, Logger: slog.New(slog.DiscardHandler),
		Open: func(path string) bool { return path == "/docs" || strings.HasPrefix(path, "/docs/") },
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func identify(v *auth.Verifier, path string, authorization ...string) (caller.Caller, error) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	return v.Identify(r)
}

func TestTokens(t *testing.T) {
	rs, es, ed := newSigner(t, "rs", jose.RS256), newSigner(t, "es", jose.ES256), newSigner(t, "ed", jose.EdDSA)
	stranger := newSigner(t, "rs", jose.RS256)
	weak := signer{"rs", jose.RS512, rs.private}
	v := newVerifier(t, keyFile(t, rs, es, ed))

	encode := base64.RawURLEncoding.EncodeToString
	payload, err := json.Marshal(valid())
	if err != nil {
		t.Fatal(err)
	}
	none := encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + "."
	confused, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: keySet(t, rs)}, (&jose.SignerOptions{}).WithHeader("kid", "rs"))
	if err != nil {
		t.Fatal(err)
	}
	symmetric, err := jwt.Signed(confused).Claims(valid()).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	cut := rs.token(t, valid())

	for name, c := range map[string]struct {
		token string
		want  string // in the problem; empty if the token is accepted
	}{
		"RS256":                 {rs.token(t, valid()), ""},
		"ES256":                 {es.token(t, valid()), ""},
		"EdDSA":                 {ed.token(t, valid()), ""},
		"several audiences":     {rs.token(t, with(map[string]any{"aud": []string{"other", audience}})), ""},
		"no key id":             {signer{"", rs.algorithm, rs.private}.token(t, valid()), ""},
		"expired within leeway": {rs.token(t, with(map[string]any{"exp": time.Now().Add(-30 * time.Second).Unix()})), ""},
		"early within leeway":   {rs.token(t, with(map[string]any{"nbf": time.Now().Add(30 * time.Second).Unix()})), ""},

		"expired":              {rs.token(t, with(map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()})), "has expired"},
		"not valid yet":        {rs.token(t, with(map[string]any{"nbf": time.Now().Add(2 * time.Minute).Unix()})), "not valid yet"},
		"no expiry":            {rs.token(t, with(map[string]any{"exp": nil})), "no expiry"},
		"no subject":           {rs.token(t, with(map[string]any{"sub": nil})), "no subject"},
		"subject too long":     {rs.token(t, with(map[string]any{"sub": strings.Repeat("x", 2049)})), "more than 2048 bytes"},
		"control characters":   {rs.token(t, with(map[string]any{"sub": "ada\nadmin"})), "control character"},
		"named like a key":     {rs.token(t, with(map[string]any{"sub": "clk_7f3k2m9q"})), "API key"},
		"an API key":           {"clk_7f3k2m9q_abc", "RS256"},
		"other issuer":         {rs.token(t, with(map[string]any{"iss": "https://evil.example.com"})), "another issuer"},
		"no issuer":            {rs.token(t, with(map[string]any{"iss": nil})), "another issuer"},
		"other audience":       {rs.token(t, with(map[string]any{"aud": "other"})), "another audience"},
		"no audience":          {rs.token(t, with(map[string]any{"aud": nil})), "another audience"},
		"key of a stranger":    {stranger.token(t, valid()), "no key"},
		"unknown key id":       {signer{"other", rs.algorithm, rs.private}.token(t, valid()), "no key"},
		"key for another alg":  {signer{"es", rs.algorithm, rs.private}.token(t, valid()), "no key"},
		"algorithm not listed": {weak.token(t, valid()), "RS256"},
		"none":                 {none, "RS256"},
		"symmetric":            {symmetric, "RS256"},
		"changed":              {cut[:len(cut)-8] + "AAAAAAAA", "no key"},
		"not a token":          {"abc", "RS256"},
		"huge":                 {strings.Repeat("a", 9000), "too long"},
	} {
		for range 2 { // the second time from memory, if it is valid
			who, err := identify(v, "/users", "Bearer "+c.token)
			if c.want == "" {
				if err != nil || who.Name != "ada" {
					t.Errorf("%s: got %+v, %v; want ada", name, who, err)
				}
				continue
			}
			checkRejected(t, name, who, err, c.want)
		}
	}
}

func checkRejected(t *testing.T, name string, who caller.Caller, err error, want string) {
	t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) || p.Status != http.StatusUnauthorized || !strings.Contains(p.Detail, want) || !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "Bearer ") {
		t.Errorf("%s: got %v, want a 401 about %q", name, err, want)
	}
	if !who.IsAnonymous() {
		t.Errorf("%s: got caller %+v, want none", name, who)
	}
}

func TestRequestsWithoutAToken(t *testing.T) {
	v := newVerifier(t, keyFile(t, newSigner(t, "1", jose.EdDSA)))
	for _, path := range []string{"/docs", "/docs/page.js"} {
		if who, err := identify(v, path); err != nil || !who.IsAnonymous() {
			t.Errorf("%s: got %+v, %v; want the anonymous caller", path, who, err)
		}
	}
	for _, path := range []string{"/users", "/users/1", "/", "/docsx", "/docs%2Fusers", "/docs/%2e%2e/users"} {
		who, err := identify(v, path)
		checkRejected(t, path, who, err, "needs a bearer token")
	}
	for _, authorization := range [][]string{{"Basic YTpi"}, {"Bearer"}, {""}, {"Bearer a", "Bearer b"}} {
		who, err := identify(v, "/docs", authorization...)
		checkRejected(t, strings.Join(authorization, ", "), who, err, "The token is invalid")
	}
}

func TestKeyFiles(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":       "keys",
		"no keys":       `{"keys":[]}`,
		"symmetric key": `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`,
	} {
		path := filepath.Join(t.TempDir(), "jwks.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.New(auth.Options{Keys: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
	}
	if _, err := auth.New(auth.Options{Keys: filepath.Join(t.TempDir(), "missing")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v, want %v", err, os.ErrNotExist)
	}
}

// A provider serves keys.
type provider struct {
	*httptest.Server
	fetches atomic.Int64

	mu     sync.Mutex
	answer func(http.ResponseWriter)
}

func newProvider(t *testing.T, signers ...signer) *provider {
	t.Helper()
	p := &provider{}
	p.serve(t, signers...)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answer(w)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) serve(t *testing.T, signers ...signer) {
	t.Helper()
	text := keySet(t, signers...)
	p.set(func(w http.ResponseWriter) { _, _ = w.Write(text) })
}

func (p *provider) set(answer func(http.ResponseWriter)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// Keys are replaced while requests go on: none of them fails, and a key that was removed is
// not accepted once another fetch has shown that.
func TestKeysAreReplacedUnderLoad(t *testing.T) {
	last := newSigner(t, "0", jose.ES256)
	p := newProvider(t, last)
	v := newVerifier(t, p.URL)
	// inUse is held while a request is in progress, so that no request still uses the token before
	// the current one when its key is removed.
	var inUse sync.RWMutex
	current := last.token(t, valid())
	use := func() error {
		inUse.RLock()
		defer inUse.RUnlock()
		_, err := identify(v, "/users", "Bearer "+current)
		return err
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := use(); err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
			}
		})
	}
	old := current
	for _, id := range []string{"1", "2"} {
		next := newSigner(t, id, jose.ES256)
		p.serve(t, last, next) // both for a while, as providers do
		token := next.token(t, valid())
		if _, err := identify(v, "/users", "Bearer "+token); err != nil {
			t.Errorf("a token of a new key: %v", err)
		}
		inUse.Lock()
		current = token
		inUse.Unlock()
		last = next
	}
	close(stop)
	load.Wait()
	// Key 0 is gone: the set with 1 and 2 was fetched for the token of 2.
	who, err := identify(v, "/users", "Bearer "+old)
	checkRejected(t, "a key that was removed", who, err, "no key")
}

// Anybody can send tokens with unknown keys. The provider gets few requests for them.
func TestUnknownKeysShareFetches(t *testing.T) {
	known, unknown := newSigner(t, "1", jose.EdDSA), newSigner(t, "2", jose.EdDSA)
	p := newProvider(t, known)
	v := newVerifier(t, p.URL)
	if _, err := identify(v, "/users", "Bearer "+known.token(t, valid())); err != nil {
		t.Fatal(err)
	}
	before := p.fetches.Load()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			who, err := identify(v, "/users", "Bearer "+unknown.token(t, valid()))
			checkRejected(t, "unknown key", who, err, "no key")
		})
	}
	all.Wait()
	if got := p.fetches.Load() - before; got > 5 {
		t.Errorf("got %d fetches for 50 requests, want at most 5", got)
	}
}

// While the provider fails, known keys stay in effect, and nothing can be said of others.
func TestAProviderThatFails(t *testing.T) {
	known, unknown := newSigner(t, "1", jose.EdDSA), newSigner(t, "2", jose.EdDSA)
	p := newProvider(t, known)
	p.set(func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) })
	v := newVerifier(t, p.URL)
	unavailable := func(name string, s signer) {
		t.Helper()
		var got *problem.Problem
		if _, err := identify(v, "/users", "Bearer "+s.token(t, valid())); !errors.As(err, &got) || got.Status != http.StatusServiceUnavailable || got.RetryAfter == 0 {
			t.Errorf("%s: got %v, want a 503 that asks for a retry", name, err)
		}
	}
	unavailable("no keys yet", known)
	p.serve(t, known)
	if _, err := identify(v, "/users", "Bearer "+known.token(t, valid())); err != nil {
		t.Errorf("after recovery: got %v, want no error", err)
	}
	p.set(func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) })
	unavailable("unknown key", unknown)
	if _, err := identify(v, "/users", "Bearer "+known.token(t, with(map[string]any{"jti": "another"}))); err != nil {
		t.Errorf("a known key: got %v, want no error", err)
	}
}

func FuzzTokens(f *testing.F) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "1"}}})
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "jwks.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		f.Fatal(err)
	}
	v, err := auth.New(auth.Options{Keys: path, Open: func(string) bool { return false }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.")
	f.Add("Bearer eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.e30.AAAA")
	f.Fuzz(func(t *testing.T, authorization string) {
		r := httptest.NewRequest(http.MethodGet, "/users", nil)
		r.Header["Authorization"] = []string{authorization}
		who, err := v.Identify(r)
		var p *problem.Problem
		if !errors.As(err, &p) || p.Status != http.StatusUnauthorized || !who.IsAnonymous() {
			t.Errorf("got %+v, %v; want a 401", who, err)
		}
		if challenge := p.Header.Get("WWW-Authenticate"); strings.ContainsAny(challenge, "\r\n") {
			t.Errorf("got the challenge %q, want one line", challenge)
		}
	})
}
