// Package snapshots creates, stores and restores copies of read models, so that a node does
// not have to read the log from its beginning.
//
// A snapshot is one stream of bytes, the same in a store and between nodes: a line of JSON,
// the [Manifest], followed by the SQLite file, compressed with Zstandard. The manifest has
// the topic, the position, the digests, and the SHA-256 of the file. A reader checks all of
// them before it uses the file.
//
// Package node sends snapshots and starts from them, and clusterlite's subcommands manage them in
// stores. The packages below have the clients of buckets; each main chooses which it links.
package snapshots
