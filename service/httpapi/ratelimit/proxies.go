package ratelimit

import (
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks of the proxies in front of a server, which append the address of their
// client to X-Forwarded-For.
type Proxies []netip.Prefix

// ParseProxy returns the network of an address or of a prefix such as 10.0.0.0/8.
func ParseProxy(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

func (p Proxies) trust(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// clientBits is the length of the part of an IPv6 address that identifies a client: networks of
// this size are given to single households and hosts.
const clientBits = 64

// ClientOf returns the address of the client that sent a request. It is the peer of the
// connection, unless that is a trusted proxy. Then it is the last address in X-Forwarded-For that is
// not one of a trusted proxy: everything before that address may be forged. Of an IPv6 address, it
// is the network.
func (p Proxies) ClientOf(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // of a listener without addresses
	}
	client := peer.Addr().Unmap().WithZone("")
	if p.trust(client) {
		client = p.forwarded(r.Header["X-Forwarded-For"], client)
	}
	if client.Is6() {
		if network, err := client.Prefix(clientBits); err == nil {
			return network.String()
		}
	}
	return client.String()
}

// forwarded returns the client that a trusted proxy names. It stops at what is not an address,
// because what precedes it can't be trusted either.
func (p Proxies) forwarded(fields []string, client netip.Addr) netip.Addr {
	for i := len(fields) - 1; i >= 0; i-- {
		for rest := fields[i]; rest != ""; {
			comma := strings.LastIndexByte(rest, ',')
			text := strings.TrimSpace(rest[comma+1:])
			rest = rest[:max(comma, 0)]
			a, err := netip.ParseAddr(text)
			if err != nil {
				return client
			}
			client = a.Unmap().WithZone("")
			if !p.trust(client) {
				return client
			}
		}
	}
	return client
}
