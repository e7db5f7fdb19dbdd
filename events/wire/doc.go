// Package wire converts events to and from the forms in which they are stored and sent.
//
// In the log, an event is a CloudEvent in Kafka's binary mode: [NewMessage] and [Record] write
// that form, and [Parse] reads it. In files, it is one line of JSON: [AppendLine] and
// [ParseLine] write and read it. Both forms are permanent. Golden files in events/testdata pin
// them, byte by byte.
package wire
