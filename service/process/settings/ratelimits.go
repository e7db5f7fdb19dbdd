package settings

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// RateLimits says how many requests clients may send to a node.
type RateLimits struct {
	Anonymous Rate      `name:"rate-limit-anonymous" env:"CLUSTERLITE_RATE_LIMIT_ANONYMOUS" default:"off" placeholder:"RATE" help:"Requests that each address without credentials may send to this node, such as 10/s or 300/m; off for no limit (default ${default})."`
	Callers   Rate      `name:"rate-limit-caller" env:"CLUSTERLITE_RATE_LIMIT_CALLER" default:"off" placeholder:"RATE" help:"Requests that each client with a token or an API key may send to this node (default ${default})."`
	Roles     RoleRates `name:"rate-limit-roles" env:"CLUSTERLITE_RATE_LIMIT_ROLES" placeholder:"ROLE=RATE" help:"Requests that clients with these roles may send instead, separated by commas, such as importer=1000/s,admin=off. Default: none."`
	Proxies   []string  `name:"trusted-proxies" env:"CLUSTERLITE_TRUSTED_PROXIES" placeholder:"ADDRESS" help:"Addresses or networks of the proxies in front of this node, separated by commas, such as 10.0.0.0/8. X-Forwarded-For of these names the address of the client. Default: none."`
}

// CheckSettings is called by the parser.
func (r *RateLimits) CheckSettings() error {
	for _, proxy := range r.Proxies {
		_, err := netip.ParseAddr(proxy)
		if strings.Contains(proxy, "/") {
			_, err = netip.ParsePrefix(proxy)
		}
		if err != nil {
			return bad("trusted-proxies", proxy, "addresses such as 10.0.0.7, or networks such as 10.0.0.0/8")
		}
	}
	return nil
}

// Limited reports whether there is any limit.
func (r *RateLimits) Limited() bool {
	limited := r.Anonymous.Requests > 0 || r.Callers.Requests > 0
	for _, rate := range r.Roles {
		limited = limited || rate.Requests > 0
	}
	return limited
}

// A Rate is a number of requests in a time, written as 10/s, 300/m or 5000/h. The zero Rate, off,
// is no limit.
type Rate struct {
	Requests int
	Per      time.Duration
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// maxRequests bounds a rate. A higher one limits nothing that a node can serve.
const maxRequests = 1_000_000

// Allowed says what a rate looks like.
func (*Rate) Allowed() string {
	return "off, or 1 to 1000000 requests in a second, minute or hour, such as 10/s, 300/m or 5000/h"
}

// UnmarshalText reads a rate.
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*r = Rate{}
		return nil
	}
	requests, unit, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(requests, 10, 32)
	per := rateUnits[unit]
	if err != nil || n < 1 || n > maxRequests || per == 0 {
		return fmt.Errorf("%q is not a rate; allowed: %s", text, r.Allowed())
	}
	*r = Rate{int(n), per}
	return nil
}

// RoleRates are the rates of roles.
type RoleRates map[string]Rate

// Allowed says what the rates look like.
func (*RoleRates) Allowed() string { return "roles with rates, such as importer=1000/s,admin=off" }

// UnmarshalText reads the rates.
func (r *RoleRates) UnmarshalText(text []byte) error {
	all := RoleRates{}
	for _, one := range strings.Split(string(text), ",") {
		if one == "" && len(text) == 0 {
			continue
		}
		// The name of a role may have the sign.
		i := strings.LastIndexByte(one, '=')
		var rate Rate
		if i < 1 || rate.UnmarshalText([]byte(one[i+1:])) != nil {
			return fmt.Errorf("%q is not a role with a rate; allowed: %s", one, r.Allowed())
		}
		if _, twice := all[one[:i]]; twice {
			return fmt.Errorf("the role %q has two rates", one[:i])
		}
		all[one[:i]] = rate
	}
	*r = all
	return nil
}
