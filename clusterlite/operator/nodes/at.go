package nodes

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/clusterlite/clusterlite/service/node/roster"
)

// At returns the nodes at an admin address (host:port, http://host:port or https://host:port)
// without asking a broker. If the host name resolves to several addresses, as the name of a
// service of Compose or Kubernetes does, At returns a node for each. The names of the nodes are
// unknown until the nodes answer.
func At(ctx context.Context, address string) ([]Node, error) {
	address, encrypted := Address(address)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("invalid admin address %q: %w", address, err)
	}
	hosts, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up the admin address %s: %w", address, err)
	}
	if host == "localhost" {
		hosts = hosts[:1] // IPv4 and IPv6 are the same host
	}
	var found []Node
	for _, ip := range hosts {
		found = append(found, Node{roster.Entry{State: roster.Running, Admin: net.JoinHostPort(ip, port), TLS: encrypted}})
	}
	return found, nil
}

// Address returns the host and port of an admin address, and whether it begins with https://.
func Address(address string) (hostPort string, encrypted bool) {
	rest, encrypted := strings.CutPrefix(address, "https://")
	return strings.TrimSuffix(strings.TrimPrefix(rest, "http://"), "/"), encrypted
}
