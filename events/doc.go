// Package events holds what ClusterLite stores and the one rule by which every
// reader of the log decides what it means.
//
// An [Event] says that an entity got a new version. It travels in the log as a
// CloudEvent in Kafka's binary mode; [Codec] writes and reads that form, [AppendLine] and
// [ParseLine] the same as a line of JSON, for files. Anybody may
// append to the log, so an event is only an intention: [Admit] looks at the state that
// all earlier records left and decides whether it holds. The rule reads no clock and
// no setting, hence any two readers of the same log agree, at every position.
//
// The package is pure. The log itself is in eventlog, an in-process broker in
// embedded, the declared collections in collections, documents in document.
package events
