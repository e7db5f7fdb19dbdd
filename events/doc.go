// Package events defines what ClusterLite stores, and the one rule by which every reader of the
// log decides what is in effect.
//
// An [Event] says that an entity got a new version. Any client of the broker may append to the
// log, so an event is only an intention: [Admit] decides whether it takes effect, based on the
// state that all earlier records left. The rule depends on no clock and no setting. Therefore any
// two readers of the same log agree at every position.
//
// The package is pure, and imports only the standard library and package document. Package wire
// has the formats of the log and of files, eventlog has the log itself, embedded an in-process
// broker, and collections the declared collections.
package events
