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
	"testing"
	"time"
)

// An IdentityProvider gives access tokens for client credentials.
type IdentityProvider struct {
	// URL is where clients get tokens, and Keys where the keys are that verify them (JWKS).
	URL, Keys string
	key       *rsa.PrivateKey
}

// Audience and Issuer are those of the provider's tokens.
const (
	Audience = "clusterlite"
	Issuer   = "https://login.example.com"
)

// NewIdentityProvider starts a provider that knows these clients, by their secrets.
func NewIdentityProvider(t testing.TB, clients map[string]string) *IdentityProvider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &IdentityProvider{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		encode := base64.RawURLEncoding.EncodeToString
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256",
			"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}})
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
	signed := part(map[string]any{"alg": "RS256", "kid": "1", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
