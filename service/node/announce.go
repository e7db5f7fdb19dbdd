package node

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process"
)

// announce announces the node to the broker until ctx ends, so that the tool finds it. A
// failure only means that the tool does not find the node, which continues to serve.
func (n *Node) announce(ctx context.Context) error {
	// The first announcement may fail because the topic does not exist yet.
	const again = 250 * time.Millisecond
	failing := false
	for ctx.Err() == nil {
		pause := roster.Interval
		err := roster.Announce(ctx, n.Log, n.entry(roster.Running))
		if err != nil {
			pause = again
		}
		if was := failing; was != (err != nil) && ctx.Err() == nil {
			failing = err != nil
			n.Logger.Debug("announcing the node to the broker", "works", !failing, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// farewell announces to the broker that the node is stopping, with the reason if the stop
// was not requested.
func (n *Node) farewell() error {
	const patience = 2 * time.Second
	if n.Admin == nil {
		return nil // it was never announced
	}
	e := n.entry(roster.Left)
	if n.cause != nil {
		e.State, e.Reason = roster.Failed, n.cause.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := roster.Announce(ctx, n.Log, e); err != nil {
		n.Logger.Debug("could not announce to the broker that the node is stopping", "error", err)
	}
	return nil
}

func (n *Node) entry(state roster.State) roster.Entry {
	return roster.Entry{
		Node: n.NodeID, Position: n.Model.Position(), Role: n.Role, Version: process.Version(),
		Admin: advertised(n.AdminAdvertise, n.Admin), TLS: n.adminTLS != nil, State: state, At: time.Now(),
	}
}

// advertised returns the address at which others reach the admin listener: the setting, if
// there is one; otherwise the bound address, which for loopback works only on this host; or
// the host name, if the listener is bound to all addresses.
func advertised(setting string, bound net.Addr) string {
	if setting != "" {
		return setting
	}
	host, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return bound.String()
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return bound.String()
	}
	name, err := os.Hostname()
	if err != nil {
		return bound.String()
	}
	return net.JoinHostPort(name, port)
}
