// Package httpclient sends requests to other processes, which may accept a connection and
// then fall silent: a stopped process, a hanging host, a network that drops packets. Every
// wait for such a peer has a deadline, and the error names the peer, its last stage, and
// how long it was silent. A transfer may take as long as it needs while it makes progress.
// Snapshots, health checks and the operator's tool use it.
package httpclient

import (
	"fmt"
	"time"
)

// Limits bound how long a peer may be silent. They do not bound a whole transfer.
type Limits struct {
	// Connect bounds the setup of a connection, including name resolution and the TLS
	// handshake.
	Connect time.Duration
	// Answer bounds the wait for the header of the answer, once the request is sent. An
	// interim answer of status 102 (Processing) is a sign of life, after which Stall
	// applies.
	Answer time.Duration
	// Stall bounds the wait for Least bytes, or the end, of the answer's body. Only the
	// time spent waiting for the peer counts, not the reader's own work. Stall also applies
	// to a part of the request that the peer does not accept.
	Stall time.Duration
	// Least is the number of bytes that must arrive within Stall; zero means one. A larger
	// value detects a peer that sends only single bytes.
	Least int64
}

// A SilentError says that a peer was silent for too long.
type SilentError struct {
	// Peer is the address or name of the peer.
	Peer string
	// Stage is the stage that the exchange had reached.
	Stage Stage
	// For is how long the wait lasted.
	For time.Duration
	// Received is the number of bytes of the answer's body that had arrived.
	Received int64
}

// A Stage is a stage of an exchange with a peer.
type Stage int

// The stages of an exchange.
const (
	// Connecting: there is no connection yet.
	Connecting Stage = iota
	// Sending: there is a connection, and the request is not completely sent.
	Sending
	// Awaiting: the request is sent, and no answer has begun.
	Awaiting
	// Receiving: the answer has begun.
	Receiving
	// Asking: one of the stages before Receiving, in an exchange made by a library.
	Asking
)

// Error says which peer was silent, and when.
func (e *SilentError) Error() string { return e.Peer + " " + e.What() }

// What says what the peer did, as a phrase that follows the peer's name.
func (e *SilentError) What() string {
	switch e.Stage {
	case Connecting:
		return fmt.Sprintf("did not accept a connection within %s", round(e.For))
	case Sending:
		return fmt.Sprintf("accepted the connection but did not read the request within %s", round(e.For))
	case Asking:
		return fmt.Sprintf("did not answer within %s", round(e.For))
	case Awaiting:
		return fmt.Sprintf("accepted the connection but did not answer within %s", round(e.For))
	default:
		return fmt.Sprintf("stalled while sending its answer: after %d bytes, too little arrived within %s", e.Received, round(e.For))
	}
}

// Timeout implements the method of [net.Error].
func (e *SilentError) Timeout() bool { return true }

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
