package node

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process"
)

// The broker keeps the announcement that arrives last, so the farewell must not be overtaken by an
// announcement that was sent before it. When the node stops, an announcement that was sent is
// therefore not abandoned, which would leave it on its way, but gets this time to complete.
const lastAnnouncement = 2 * time.Second

// firstAnnouncement is how long the first announcement delays the readiness of the node, so that the
// tool finds whatever node is ready. A node that can't announce itself becomes ready all the same.
const firstAnnouncement = 5 * time.Second

// announceAgain is the time from a failed announcement to the next attempt.
const announceAgain = 250 * time.Millisecond

// announce announces the node to the broker until ctx ends, so that the tool finds it. A
// failure only means that the tool does not find the node, which continues to serve.
func (n *Node) announce(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastAnnouncement, cancel) })()
	failing := false
	for ctx.Err() == nil {
		pause, began := roster.Interval, time.Now()
		err := roster.Announce(sending, n.Log, n.entry(roster.Running))
		if err != nil {
			pause = announceAgain // the first one may fail because the topic does not exist yet
		} else {
			n.announced.Store(&began)
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
// was not requested. It tries for some time, because a broker that answers too late once would
// leave the node in the roster as running.
func (n *Node) farewell() error {
	patience := 3 * time.Second
	if n.Admin == nil {
		return nil // it was never announced
	}
	e := n.entry(roster.Left)
	if n.cause != nil {
		e.State, e.Reason = roster.Failed, n.cause.Error()
		patience = 10 * time.Second // an operator needs the reason, and no one waits for the stop
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, roster.Announce(ctx, n.Log, e) },
		backoff.WithBackOff(backoff.NewConstantBackOff(announceAgain)), backoff.WithMaxElapsedTime(patience))
	if err != nil {
		n.Logger.Debug("could not announce to the broker that the node is stopping", "error", err)
	}
	return nil
}

func (n *Node) entry(state roster.State) roster.Entry {
	return roster.Entry{
		Node: n.NodeID, Position: n.Model.Position(), Role: n.Role, Version: process.Version(),
		Admin: advertised(n.AdminAdvertise, n.Admin), TLS: n.adminTLS != nil, State: state, At: time.Now(), Format: events.Format,
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

// lastAnnounced returns when the last announcement began that the brokers confirmed.
func (n *Node) lastAnnounced() time.Time {
	if at := n.announced.Load(); at != nil {
		return *at
	}
	return time.Time{}
}
