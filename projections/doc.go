// Package projections builds a read model from the log: it applies each record, in
// order, by the rule of events.Admit, to tables in one SQLite file, and keeps its
// position in the same file, in the same transaction. Two projections at the same
// position hold the same rows, whoever built them and in whatever batches.
//
// Query services read from a projection; a command service has one as its write model.
package projections
