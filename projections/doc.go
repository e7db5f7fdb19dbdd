// Package projections builds read models from the log: it applies each record, in order, by the
// rule of events.Admit, to tables in one SQLite file, and keeps its position in the same file, in
// the same transaction. Two projections at the same position hold the same rows, no matter which
// process built them and in which batches.
//
// Query services read from a projection. A command service has one as its write model.
//
// This package has the projection and its worker: the life cycle, rebuilds while it serves,
// repairs, and scrubs. The packages below it import each other only from top to bottom:
//
//	offline                read-model files that no running node has open
//	internal/generation    one file with everything that is open on it; building and converting files
//	internal/applier       the transaction of a batch, and the read model of entities
//	journal                the admitted events in order, and the history of each entity
//	internal/entitycache   recently read entities and pages of lists
//	reads                  read transactions, single rows, audits
//	internal/listsql       lists as SQL
//	datafolder             the lock, the generations and the links in a node's data folder
//	internal/sqlite        connections, checkpoints and files of SQLite
//	internal/schema        tables, and the columns and indexes of declared collections
//	internal/continuity    whether a log is the one that was read
//	internal/lifecycle     the state machine, the position, and the callers that wait for it
//	internal/rowformat     how columns store entities, ids and claims
//	query, readmodel       lists, and what a read model is
//	digest, refusal,       values and errors that the others share
//	storagefault
package projections
