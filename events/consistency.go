package events

// Consistency is how recent the state must be on which a read is answered, or a command is
// rejected.
type Consistency string

// The levels of consistency. Clients use the same words.
const (
	// Unspecified means that the client did not ask for a consistency.
	Unspecified Consistency = ""
	// Strong includes every write that was acknowledged before and that is known to the broker
	// that answers as the leader of the log.
	Strong Consistency = "strong"
	// Linearizable includes every write that was acknowledged before, and the broker proves that
	// it still leads the log.
	Linearizable Consistency = "linearizable"
	// Eventual is the state that the node has.
	Eventual Consistency = "eventual"
)
