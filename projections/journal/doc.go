// Package journal keeps the admitted events of the log in order, in files beside a read model. It
// serves what the current state can't: every change since a position, and the earlier versions of
// an entity.
//
// A journal is derived from the log, so it needs no sync for each batch. It is written before the
// read model's commit. After a crash it is therefore level with the read model or ahead of it, and
// Open cuts it back. If it is behind nevertheless, because a power loss took its last writes, or
// if it is damaged, it starts afresh at the read model's position: see [Journal.Start].
//
// The files are segments of at most [SegmentBytes], named after the position at which they begin.
// Each begins with a header. Then come the records, each with its length and a CRC-32C of its
// content. A segment that is full ends with an index of its records. Each record of an event names
// the position of the entity's previous event, and of one much further back, so that any version of
// an entity is found in a number of steps that grows with the logarithm of the number of versions.
// Where the newest event of each entity is, is kept in memory: 8 bytes for each entity, in tables
// that are at most three quarters full.
package journal
