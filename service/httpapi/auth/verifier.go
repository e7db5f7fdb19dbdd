// Package auth finds out who sent a request: it verifies bearer tokens (RFC 6750), which are JSON
// Web Tokens that an identity provider has signed (RFC 7519), or API keys. Package node passes its verifier to the
// HTTP server of the API, which puts the caller into the context of each request.
package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/golang-lru/v2"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/auth/apikeys"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const (
	// leeway is how far the clock of the identity provider may differ from that of this machine.
	leeway = time.Minute
	// maxToken bounds the length of a token in bytes. Larger ones are rejected unread.
	maxToken = 8 << 10
	// maxKnown bounds how many verified tokens are kept. To verify a signature takes up to a tenth
	// of a millisecond, several times as long as a read.
	maxKnown = 10_000
)

// algorithms are the signature algorithms that tokens may have. All of them are asymmetric, so a
// public key can't be misused as the secret of another algorithm, and none of them is "none".
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// Options say which tokens are valid.
type Options struct {
	// Keys is the set of keys (JWKS, RFC 7517) that sign tokens: the path of a file, or an
	// http or https URL. If it is empty, no token is valid.
	Keys string
	// APIKeys verifies API keys; nil means that none is valid.
	APIKeys *apikeys.Verifier
	// Issuer and Audience are what tokens must hold as iss and among aud. An empty one is not
	// checked.
	Issuer, Audience string
	// RolesClaim names the claim with the roles of a caller. It may be a path whose
	// names are separated by dots, such as realm_access.roles. If it is empty, callers have no
	// roles.
	RolesClaim string
	// Open reports whether a request needs no token, by the path of its URL.
	Open func(path string) bool
	// Logger receives failures to fetch keys.
	Logger *slog.Logger
}

// A Verifier verifies tokens and API keys. Safe for concurrent use.
type Verifier struct {
	options Options
	keys    keySource
	known   *lru.Cache[[sha256.Size]byte, known]
	now     func() time.Time
}

// known is a token that was verified.
type known struct {
	caller     caller.Caller
	from, to   time.Time // the token is valid from from, and before to
	generation int64     // of the keys that verified it
}

// New reads the keys from a file. It returns an error if the file can't be used. From a URL, keys
// are fetched when the first token arrives.
func New(o Options) (*Verifier, error) {
	cache, err := lru.New[[sha256.Size]byte, known](maxKnown)
	if err != nil {
		return nil, err
	}
	v := &Verifier{options: o, known: cache, now: time.Now}
	if o.Keys == "" {
		return v, nil
	}
	if v.keys, err = openKeys(o.Keys, o.Logger); err != nil {
		return nil, err
	}
	return v, nil
}

// Identify returns the caller whom the token of a request names. It implements
// [caller.Identify]. Without a token, the caller is anonymous on open paths, and the error is a
// problem on all others.
func (v *Verifier) Identify(r *http.Request) (caller.Caller, error) {
	fields := r.Header["Authorization"]
	if len(fields) == 0 {
		// A path with escapes may lead to another resource than it seems to.
		if r.URL.RawPath == "" && v.options.Open(r.URL.Path) {
			return caller.Anonymous, nil
		}
		return caller.Anonymous, problem.Unauthorized.New("This resource needs a bearer token in the header field Authorization.").
			Set("WWW-Authenticate", `Bearer realm="clusterlite"`)
	}
	if len(fields) > 1 {
		return caller.Anonymous, invalid("the request has several header fields Authorization")
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return caller.Anonymous, invalid("it is not a bearer token")
	}
	if v.options.APIKeys != nil && strings.HasPrefix(token, apikeys.Prefix) {
		who, err := v.options.APIKeys.Verify(r.Context(), token)
		if errors.Is(err, apikeys.ErrInvalid) {
			err = invalid(err.Error())
		}
		return who, err
	}
	who, err := v.verify(r.Context(), token)
	if unavailable := (*unavailableError)(nil); errors.As(err, &unavailable) {
		return caller.Anonymous, problem.NotReady.Because(err, "The keys that verify tokens could not be fetched from the identity provider. Nothing was done. Retry later.")
	}
	if err != nil {
		return caller.Anonymous, invalid(err.Error())
	}
	return who, nil
}

// invalid returns the problem of a token that is not valid (RFC 6750, section 3). The reason
// holds nothing that the client sent.
func invalid(reason string) *problem.Problem {
	return problem.Unauthorized.New("The token is invalid: "+reason+".").
		Set("WWW-Authenticate", `Bearer realm="clusterlite", error="invalid_token", error_description="`+reason+`"`)
}

func (v *Verifier) verify(ctx context.Context, token string) (caller.Caller, error) {
	if len(token) > maxToken {
		return caller.Anonymous, errors.New("it is too long")
	}
	if v.keys == nil {
		return caller.Anonymous, apikeys.ErrInvalid
	}
	sum := sha256.Sum256([]byte(token))
	if k, ok := v.known.Get(sum); ok && k.generation == v.keys.generation() {
		return k.caller, k.checkTime(v.now())
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return caller.Anonymous, errors.New("it is not a JSON Web Token signed with RS256, ES256 or EdDSA")
	}
	found, generation, err := v.keys.find(ctx, parsed.Headers[0].KeyID, parsed.Headers[0].Algorithm)
	if err != nil {
		return caller.Anonymous, err
	}
	var claims jwt.Claims
	var all map[string]any
	if !verified(parsed, found, &claims, &all) {
		return caller.Anonymous, errors.New("no key of the identity provider has signed it")
	}
	k, err := v.check(claims)
	if err != nil {
		return caller.Anonymous, err
	}
	k.generation = generation
	k.caller.Claims, k.caller.Roles = all, rolesOf(all, v.options.RolesClaim)
	v.known.Add(sum, k)
	return k.caller, k.checkTime(v.now())
}

// verified reports whether one of the keys has signed the token, and reads its claims.
func verified(token *jwt.JSONWebToken, keys []jose.JSONWebKey, claims ...any) bool {
	for _, key := range keys {
		if token.Claims(key.Key, claims...) == nil {
			return true
		}
	}
	return false
}

// check checks everything but the time.
func (v *Verifier) check(c jwt.Claims) (known, error) {
	switch {
	case v.options.Issuer != "" && c.Issuer != v.options.Issuer:
		return known{}, errors.New("it is from another issuer")
	case v.options.Audience != "" && !c.Audience.Contains(v.options.Audience):
		return known{}, errors.New("it is for another audience")
	case c.Expiry == nil:
		return known{}, errors.New("it has no expiry")
	case c.Subject == "":
		return known{}, errors.New("it has no subject")
	case strings.HasPrefix(c.Subject, apikeys.Prefix):
		return known{}, errors.New("its subject begins like the name of an API key")
	case !events.ValidActor(c.Subject):
		return known{}, errors.New("its subject has more than 2048 bytes or a control character")
	}
	k := known{caller: caller.Caller{Name: c.Subject}, to: c.Expiry.Time().Add(leeway)}
	if c.NotBefore != nil {
		k.from = c.NotBefore.Time().Add(-leeway)
	}
	return k, nil
}

func (k known) checkTime(now time.Time) error {
	if !now.Before(k.to) {
		return errors.New("it has expired")
	}
	if now.Before(k.from) {
		return errors.New("it is not valid yet")
	}
	return nil
}

// An unavailableError says that keys could not be fetched, so that nothing is known of a token.
type unavailableError struct{ err error }

// Error gives the cause.
func (e *unavailableError) Error() string { return fmt.Sprintf("fetch the keys for tokens: %v", e.err) }

// Unwrap returns the cause.
func (e *unavailableError) Unwrap() error { return e.err }
