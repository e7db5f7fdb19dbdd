// Package webhooks sends events to the HTTP endpoints that a file declares. For each webhook, one node
// at a time delivers, at least once and in order per entity. Requests are signed by the convention of
// Standard Webhooks.
//
// Events come from the journal of the node. What a restart or another node has to know is in the log:
// which node delivers a webhook, the position up to which it has, which deliveries are being retried
// or are parked, and whether an operator has paused it. These records are entities of a [Collection]
// that no API serves. Admission accepts each version of an entity once, so two nodes can't both take
// a webhook over, and a rebuild sends nothing, because it leads to the same records.
package webhooks
