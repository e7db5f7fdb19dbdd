package cluster

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// An IdentityProvider gives access tokens for client credentials.
type IdentityProvider struct {
	// URL is where clients get tokens, and Keys where the keys are that verify them (JWKS).
	URL, Keys string

	mu sync.Mutex
	// keys are published in this order, and named after their place, from 1. The last one signs.
	keys []*rsa.PrivateKey
	// withdrawn is how many of the first keys are no longer published.
	withdrawn int
}

// Audience and Issuer are those of the provider's tokens.
const (
	Audience = "clusterlite"
	Issuer   = "https://login.example.com"
)

// NewIdentityProvider starts a provider that knows these clients, by their secrets.
func NewIdentityProvider(t testing.TB, clients map[string]string) *IdentityProvider {
	t.Helper()
	s := &IdentityProvider{}
	s.AddKey(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		encode := base64.RawURLEncoding.EncodeToString
		w.Header().Set("Content-Type", "application/json")
		s.mu.Lock()
		defer s.mu.Unlock()
		published := []any{}
		for i, key := range s.keys {
			if i >= s.withdrawn {
				published = append(published, map[string]any{
					"kty": "RSA", "kid": fmt.Sprint(i + 1), "use": "sig", "alg": "RS256",
					"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
				})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": published})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		if !ok {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		w.Header().Set("Content-Type", "application/json")
		if want, known := clients[id]; !known || secret != want || r.PostFormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": s.Token(t, id, nil), "token_type": "Bearer", "expires_in": 300})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL, s.Keys = server.URL+"/token", server.URL+"/keys"
	return s
}

// AddKey publishes another key, which signs all further tokens.
func (s *IdentityProvider) AddKey(t testing.TB) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

// WithdrawKeys publishes only the newest key.
func (s *IdentityProvider) WithdrawKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withdrawn = len(s.keys) - 1
}

// Token returns a token of the provider for a subject, after changes of its claims. A claim that
// is changed to nil is left out.
func (s *IdentityProvider) Token(t testing.TB, subject string, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": Issuer, "sub": subject, "aud": Audience, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	part := func(v map[string]any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	s.mu.Lock()
	key, id := s.keys[len(s.keys)-1], fmt.Sprint(len(s.keys))
	s.mu.Unlock()
	signed := part(map[string]any{"alg": "RS256", "kid": id, "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
