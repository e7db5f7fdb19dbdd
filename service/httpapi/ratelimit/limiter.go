// Package ratelimit limits how many requests a client may send in a time. Package web asks the
// [Limiter] of a server about each request, once it knows the caller.
//
// A client is a caller with a name, or the address of an anonymous caller. Each has a token
// bucket of its own on each node: it starts full, each request takes one token, and the bucket
// fills again at a steady rate. The header fields of the responses are those of
// draft-ietf-httpapi-ratelimit-headers-10.
package ratelimit

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// maxClients bounds how many buckets are kept, to about 20 MB. The client that was not seen for
// longest gets a full bucket again.
const maxClients = 1 << 16

// A Limit is a number of requests in a time. The zero Limit means that there is no limit.
type Limit struct {
	Requests int
	Per      time.Duration
}

// Options are the limits of a server.
type Options struct {
	// Anonymous is the limit of each address without credentials, and Callers that of each caller
	// with a name.
	Anonymous, Callers Limit
	// Roles are the limits of callers with these roles, instead of Callers. If a caller has
	// several of them, the most generous one applies. The zero Limit is the most generous.
	Roles map[string]Limit
	// Proxies are the addresses whose X-Forwarded-For is believed.
	Proxies Proxies
}

// enabled reports whether any request is limited.
func (o Options) enabled() bool {
	on := o.Anonymous.Requests > 0 || o.Callers.Requests > 0
	for _, l := range o.Roles {
		on = on || l.Requests > 0
	}
	return on
}

// A policy is a limit with a name that clients see.
type policy struct {
	Limit
	name   string // anonymous, caller or role
	header string // the RateLimit-Policy field
}

func newPolicy(name string, l Limit) policy {
	return policy{l, name, fmt.Sprintf(`%q;q=%d;w=%d`, name, l.Requests, int(math.Ceil(l.Per.Seconds())))}
}

// rate is the rate at which a bucket fills, in tokens per second.
func (p policy) rate() rate.Limit { return rate.Limit(float64(p.Requests) / p.Per.Seconds()) }

// A client is what has a bucket.
type client struct {
	id     string // a caller's name, or an address
	policy string // so that an address is not taken for a name
	limit  Limit  // a change of roles changes the bucket
}

// A Limiter limits the requests of a server. Safe for concurrent use.
type Limiter struct {
	anonymous, callers policy
	roles              map[string]policy
	proxies            Proxies
	buckets            *lru.Cache[client, *rate.Limiter]
	rejected           *prometheus.CounterVec
	now                func() time.Time
}

// New returns a limiter, or nil if no limit is set. The metric of rejected requests exists in any
// case.
func New(o Options, registry *prometheus.Registry) (*Limiter, error) {
	rejected := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clusterlite_http_requests_rate_limited_total", Help: "Requests rejected with 429 because their client sent too many, by the limit that applied.",
	}, []string{"limit"})
	registry.MustRegister(rejected)
	for _, name := range []string{"anonymous", "caller", "role"} {
		rejected.WithLabelValues(name) // so that the series exists from the start
	}
	if !o.enabled() {
		return nil, nil //nolint:nilnil // no limiter is needed
	}
	buckets, err := lru.New[client, *rate.Limiter](maxClients)
	if err != nil {
		return nil, err
	}
	l := &Limiter{
		anonymous: newPolicy("anonymous", o.Anonymous), callers: newPolicy("caller", o.Callers), roles: make(map[string]policy, len(o.Roles)),
		proxies: o.Proxies, buckets: buckets, rejected: rejected, now: time.Now,
	}
	for role, limit := range o.Roles {
		l.roles[role] = newPolicy("role", limit)
	}
	return l, nil
}

// Take takes a token of the client that sent a request, and sets the RateLimit fields of the
// response. The error is a problem with status 429 if the client has none left. If its limit is
// zero, Take does nothing. A nil Limiter limits nothing.
func (l *Limiter) Take(r *http.Request, who caller.Caller, response http.Header) error {
	if l == nil {
		return nil
	}
	p := l.policyOf(who)
	if p.Requests == 0 {
		return nil
	}
	c := client{who.Name, p.name, p.Limit}
	if who.IsAnonymous() {
		c.id = l.proxies.ClientOf(r)
	}
	bucket, known := l.buckets.Get(c)
	if !known {
		bucket = rate.NewLimiter(p.rate(), p.Requests)
		if earlier, raced, _ := l.buckets.PeekOrAdd(c, bucket); raced {
			bucket = earlier
		}
	}
	now := l.now()
	allowed := bucket.AllowN(now, 1)
	left := bucket.TokensAt(now)
	response["Ratelimit-Policy"] = []string{p.header}
	response["Ratelimit"] = []string{fmt.Sprintf(`%q;r=%d;t=%d`, p.name, int(max(left, 0)), seconds(float64(p.Requests)-left, p))}
	if allowed {
		return nil
	}
	l.rejected.WithLabelValues(p.name).Inc()
	wait := max(seconds(1-left, p), 1)
	limited := problem.RateLimited.New(fmt.Sprintf("The client has sent more than %d requests in %s. Nothing was done. Retry in %s seconds.", p.Requests, p.Per, strconv.Itoa(wait)))
	limited.RetryAfter = time.Duration(wait) * time.Second
	return limited
}

// seconds returns the time in which so many tokens are added, rounded up.
func seconds(tokens float64, p policy) int {
	return int(math.Ceil(max(tokens, 0) / float64(p.rate())))
}

// policyOf returns the policy for a caller.
func (l *Limiter) policyOf(who caller.Caller) policy {
	if who.IsAnonymous() {
		return l.anonymous
	}
	if len(l.roles) == 0 {
		return l.callers
	}
	best, found := policy{}, false
	for _, role := range who.Roles {
		p, ok := l.roles[role]
		switch {
		case !ok:
		case p.Requests == 0:
			return p
		case !found || p.rate() > best.rate():
			best, found = p, true
		}
	}
	if found {
		return best
	}
	return l.callers
}
