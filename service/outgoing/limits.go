// Package outgoing makes requests to other processes that may accept a connection and then
// fall silent: a process that was stopped, a host that hangs, a network that drops packets.
// No wait for such a peer is without a deadline, and the error says which peer it was, what
// it had done by then, and for how long it was silent. A transfer of any size may take as
// long as it needs while it makes headway.
package outgoing

import (
	"fmt"
	"time"
)

// Limits bound how long a peer may be silent. None bounds a whole transfer.
type Limits struct {
	// Connect is for a connection, with the name looked up and TLS agreed on.
	Connect time.Duration
	// Answer is for the header of the answer, once the request is sent. An answer of status
	// 102 (Processing) is a sign of life, after which Stall takes its place.
	Answer time.Duration
	// Stall is for Least bytes, or the end, of the answer's body. Only the time spent
	// waiting for the peer counts, not that of the reader's own work. It is also for a piece
	// of the request that the peer does not take.
	Stall time.Duration
	// Least is how many bytes have to come within Stall; zero means one. More than one
	// makes an end of a peer that sends a byte now and then.
	Least int64
}

// A SilentError says that a peer was silent for too long.
type SilentError struct {
	// Peer is its address or name.
	Peer string
	// Stage is how far it had come.
	Stage Stage
	// For is how long it was waited for.
	For time.Duration
	// Received is how many bytes of its answer's body had come.
	Received int64
}

// A Stage is how far an exchange with a peer has come.
type Stage int

// The stages.
const (
	// Connecting: there is no connection yet.
	Connecting Stage = iota
	// Sending: there is a connection, and the request is not sent whole.
	Sending
	// Awaiting: the request is sent, and no answer has begun.
	Awaiting
	// Receiving: the answer has begun.
	Receiving
	// Asking: one of the stages before Receiving, of an exchange that others make.
	Asking
)

// Error says which peer was silent, and when.
func (e *SilentError) Error() string { return e.Peer + " " + e.What() }

// What says what the peer did, as the rest of a sentence that begins with its name.
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

// Timeout makes it a timeout for those who look for one, as [net.Error] has it.
func (e *SilentError) Timeout() bool { return true }

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
