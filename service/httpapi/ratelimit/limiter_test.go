package ratelimit_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/ratelimit"
)

// A desk asks a limiter whose clock the test sets.
type desk struct {
	*ratelimit.Limiter
	t        *testing.T
	now      time.Time
	registry *prometheus.Registry
}

func newDesk(t *testing.T, o ratelimit.Options) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Unix(1_700_000_000, 0), registry: prometheus.NewRegistry()}
	var err error
	if d.Limiter, err = ratelimit.New(o, d.registry); err != nil {
		t.Fatal(err)
	}
	if d.Limiter != nil {
		ratelimit.SetClock(d.Limiter, func() time.Time { return d.now })
	}
	return d
}

// take sends a request, and returns the problem that it gets, or nil.
func (d *desk) take(who caller.Caller, peer string, forwarded ...string) (*problem.Problem, http.Header) {
	d.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/users", nil)
	r.RemoteAddr = peer
	for _, f := range forwarded {
		r.Header.Add("X-Forwarded-For", f)
	}
	h := http.Header{}
	err := d.Take(r, who, h)
	var p *problem.Problem
	if err != nil && !errors.As(err, &p) {
		d.t.Fatalf("got %v, want a problem", err)
	}
	return p, h
}

// allowed returns how many of n requests at once are allowed.
func (d *desk) allowed(n int, who caller.Caller, peer string, forwarded ...string) (allowed int) {
	d.t.Helper()
	for range n {
		if p, _ := d.take(who, peer, forwarded...); p == nil {
			allowed++
		}
	}
	return allowed
}

func perSecond(n int) ratelimit.Limit { return ratelimit.Limit{Requests: n, Per: time.Second} }

var ada, bob = caller.Caller{Name: "ada", Roles: []string{"reader"}}, caller.Caller{Name: "bob"}

const peer = "192.0.2.1:4711"

func TestABucketFillsAgain(t *testing.T) {
	d := newDesk(t, ratelimit.Options{Callers: ratelimit.Limit{Requests: 60, Per: time.Minute}})
	if got := d.allowed(100, ada, peer); got != 60 {
		t.Errorf("at first: got %d requests, want 60", got)
	}
	p, h := d.take(ada, peer)
	if p == nil || p.Status != http.StatusTooManyRequests || p.RetryAfter != time.Second || !strings.Contains(p.Detail, "60 requests") {
		t.Fatalf("got %+v, want a 429 that asks for a retry in a second", p)
	}
	for name, want := range map[string]string{"RateLimit-Policy": `"caller";q=60;w=60`, "RateLimit": `"caller";r=0;t=60`} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	d.now = d.now.Add(10 * time.Second)
	if got := d.allowed(100, ada, peer); got != 10 {
		t.Errorf("after 10 s: got %d requests, want 10", got)
	}
	d.now = d.now.Add(time.Hour)
	if p, h := d.take(ada, peer); p != nil || h.Get("RateLimit") != `"caller";r=59;t=1` {
		t.Errorf("after an hour: got %v and %s, want a full bucket without one token", p, h.Get("RateLimit"))
	}
	if got := testutil.ToFloat64(counter(t, d, "caller")); got != 131 {
		t.Errorf("got %v rejected requests in the metric, want 131", got)
	}
}

func counter(t *testing.T, d *desk, limit string) prometheus.Collector {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == limit {
				g.Set(m.GetCounter().GetValue())
			}
		}
	}
	return g
}

func TestEachClientHasItsOwnBucket(t *testing.T) {
	d := newDesk(t, ratelimit.Options{Anonymous: perSecond(2), Callers: perSecond(5)})
	for name, c := range map[string]struct {
		who  caller.Caller
		peer string
		want int
	}{
		"an address":             {caller.Anonymous, peer, 2},
		"another address":        {caller.Anonymous, "192.0.2.2:1", 2},
		"a caller":               {ada, peer, 5},
		"another caller":         {bob, peer, 5},
		"named like an address":  {caller.Caller{Name: "192.0.2.1"}, peer, 5},
		"a network of IPv6":      {caller.Anonymous, "[2001:db8::1]:1", 2},
		"another one of IPv6":    {caller.Anonymous, "[2001:db8:0:1::1]:1", 2},
		"a listener without any": {caller.Anonymous, "@", 2},
	} {
		if got := d.allowed(10, c.who, c.peer); got != c.want {
			t.Errorf("%s: got %d requests, want %d", name, got, c.want)
		}
	}
	for name, same := range map[string]string{"another port": "192.0.2.1:5", "IPv4 in IPv6": "[::ffff:192.0.2.1]:1", "the same network of IPv6": "[2001:db8::ffff]:9"} {
		if got := d.allowed(3, caller.Anonymous, same); got != 0 {
			t.Errorf("%s: got %d requests of an empty bucket, want none", name, got)
		}
	}
}

func TestLimitsOfRoles(t *testing.T) {
	d := newDesk(t, ratelimit.Options{Callers: perSecond(2), Roles: map[string]ratelimit.Limit{"importer": perSecond(20), "slow": {Requests: 10, Per: time.Hour}, "admin": {}}})
	for name, c := range map[string]struct {
		roles []string
		want  int
	}{
		"none":                {nil, 2},
		"one without a limit": {[]string{"reader"}, 2},
		"importer":            {[]string{"reader", "importer"}, 20},
		"slow":                {[]string{"slow"}, 10},
		"the most generous":   {[]string{"slow", "importer"}, 20},
		"unlimited":           {[]string{"slow", "admin", "importer"}, 50},
	} {
		if got := d.allowed(50, caller.Caller{Name: name, Roles: c.roles}, peer); got != c.want {
			t.Errorf("%s: got %d requests, want %d", name, got, c.want)
		}
	}
	if got := d.allowed(50, caller.Anonymous, peer); got != 50 {
		t.Errorf("anonymous, without a limit: got %d requests, want all 50", got)
	}
}

func TestNoLimits(t *testing.T) {
	d := newDesk(t, ratelimit.Options{Roles: map[string]ratelimit.Limit{"admin": {}}})
	if d.Limiter != nil {
		t.Error("got a limiter without limits, want none")
	}
	if p, h := d.take(caller.Anonymous, peer); p != nil || len(h) != 0 {
		t.Errorf("got %v and %v from no limiter, want nothing", p, h)
	}
}

// X-Forwarded-For counts only as far as trusted proxies have written it.
func TestAddressesBehindProxies(t *testing.T) {
	proxies := ratelimit.Proxies{}
	for _, text := range []string{"10.0.0.0/8", "192.0.2.9", "fd00::/8"} {
		p, err := ratelimit.ParseProxy(text)
		if err != nil {
			t.Fatal(err)
		}
		proxies = append(proxies, p)
	}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                           {"203.0.113.5:1", nil, "203.0.113.5"},
		"a peer that is not trusted":         {"203.0.113.5:1", []string{"198.51.100.1"}, "203.0.113.5"},
		"a proxy":                            {"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"a proxy by its address":             {"192.0.2.9:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"a proxy over IPv4 in IPv6":          {"[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"two proxies":                        {"10.0.0.1:1", []string{"198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		"two fields":                         {"10.0.0.1:1", []string{"198.51.100.1", "10.2.3.4"}, "198.51.100.1"},
		"a forged beginning":                 {"10.0.0.1:1", []string{"1.2.3.4, 198.51.100.1"}, "198.51.100.1"},
		"a forged field":                     {"10.0.0.1:1", []string{"1.2.3.4", "198.51.100.1"}, "198.51.100.1"},
		"a forged proxy":                     {"10.0.0.1:1", []string{"1.2.3.4, 10.9.9.9, 198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		"only proxies":                       {"10.0.0.1:1", []string{"10.2.3.4"}, "10.2.3.4"},
		"a proxy without the field":          {"10.0.0.1:1", nil, "10.0.0.1"},
		"an empty field":                     {"10.0.0.1:1", []string{""}, "10.0.0.1"},
		"not an address":                     {"10.0.0.1:1", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		"an address with a port":             {"10.0.0.1:1", []string{"198.51.100.1:99"}, "10.0.0.1"},
		"IPv6":                               {"[fd00::1]:1", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"},
		"a comma at the end":                 {"10.0.0.1:1", []string{"198.51.100.1,"}, "10.0.0.1"},
		"a zone, which is not of the client": {"10.0.0.1:1", []string{"fe80::1%eth0"}, "fe80::/64"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := proxies.ClientOf(r); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	for _, bad := range []string{"", "x", "10.0.0.0/99", "10.0.0.1:80"} {
		if _, err := ratelimit.ParseProxy(bad); err == nil {
			t.Errorf("got no error for %q, want one", bad)
		}
	}
}

// Many addresses take a bounded amount of memory, and those that were seen last keep their state.
func TestMemoryIsBounded(t *testing.T) {
	d := newDesk(t, ratelimit.Options{Anonymous: perSecond(1)})
	for i := range ratelimit.MaxClients + 1000 {
		d.take(caller.Anonymous, fmt.Sprintf("%s:1", netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})))
	}
	if got := ratelimit.Buckets(d.Limiter); got != ratelimit.MaxClients {
		t.Errorf("got %d buckets, want %d", got, ratelimit.MaxClients)
	}
}

func FuzzClientOf(f *testing.F) {
	p, err := ratelimit.ParseProxy("10.0.0.0/8")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("10.0.0.1:1", "1.2.3.4, 5.6.7.8")
	f.Add("[::1]:1", ",,,")
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = peer
		r.Header["X-Forwarded-For"] = []string{forwarded}
		got := ratelimit.Proxies{p}.ClientOf(r)
		_, errAddr := netip.ParseAddr(got)
		_, errPrefix := netip.ParsePrefix(got)
		if errAddr != nil && errPrefix != nil && got != peer {
			t.Errorf("got %q for %q and %q, want an address, a network or the peer", got, peer, forwarded)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	l, err := ratelimit.New(ratelimit.Options{Callers: perSecond(1_000_000)}, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/users", nil)
	b.ReportAllocs()
	for b.Loop() {
		_ = l.Take(r, ada, http.Header{})
	}
}
