// Package snapshots makes, keeps and takes into use copies of read models, so that a node
// need not read the log from its beginning.
//
// A snapshot is one stream of bytes, the same in a store of objects and on the wire
// between nodes: a line of JSON, the [Manifest], then the SQLite file, compressed by
// Zstandard. The manifest says what is in it: of which topic, at which position, with
// which digests, and the SHA-256 of the file. Whoever reads it checks all of that before
// the file is taken into use.
package snapshots
