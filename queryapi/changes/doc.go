// Package changes serves the change feed: the admitted events from a position on, of one collection
// or of all, as CloudEvents. It implements the read half of the Durable Streams protocol 1.0 in its
// JSON mode: catch-up reads, long polls, and server-sent events.
//
// An offset is a position of the log, so it means the same on every node. Events come from the
// journal of the node. The newest are also kept in memory by a hub, which reads and renders each
// event once for all clients that follow the feed live. A client costs a position and the buffers
// of its connection, so a client that reads slowly loses nothing: it reads on from the journal.
package changes
