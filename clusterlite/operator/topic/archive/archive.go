// Package archive writes the events of a log to a file and appends the events of a file
// to a log.
//
// An archive consists of lines of JSON: a header, the events in the order of the log as
// written by [wire.AppendLine], and a trailer. The trailer has the number of events and a
// hash of everything before it, so that truncation and changes are detected. An archive
// holds exactly the admitted events. Appended to an empty log in that order, each of them
// is admitted again, regardless of the clocks of the new broker.
package archive

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"

	"github.com/clusterlite/clusterlite/events"
)

// Version is the version of the archive format that this code writes and reads.
const Version = 1

// These are the kinds of lines that are not events. They are stored and must never change.
const (
	kindHeader  = "export"
	kindTrailer = "end"
)

// kindMember is the start of every line that is not an event.
const kindMember = `{"clusterlite":`

// A Header is the first line of an archive. It has no timestamp, because the same log at
// the same position must always give the same archive.
type Header struct {
	Kind    string `json:"clusterlite"`
	Version int    `json:"version"`
	// Topic and TopicID identify the log that the events are from.
	Topic   string `json:"topic"`
	TopicID string `json:"topic_id"`
}

// A Trailer is the last line of an archive.
type Trailer struct {
	Kind string `json:"clusterlite"`
	// Events is the number of events in the archive.
	Events int64 `json:"events"`
	// TopicID is the same as in the header.
	TopicID string `json:"topic_id"`
	// Position is how far the log was read.
	Position events.Position `json:"position"`
	// Digests are the digests of the rows of each collection after all events.
	Digests map[string]string `json:"digests"`
	// SHA256 is the hash of all bytes of the archive before this member.
	SHA256 string `json:"sha256"`
}

// line returns the trailer as it is written, including the hash. sum has hashed all lines
// before it.
func (t Trailer) line(sum hash.Hash) []byte {
	t.SHA256 = ""
	before := bytes.TrimSuffix(encode(t), []byte(`,"sha256":""}`+"\n"))
	sum.Write(before)
	return fmt.Appendf(before, ",\"sha256\":%q}\n", hex.EncodeToString(sum.Sum(nil)))
}

// encode writes a line that is not an event, in its canonical form.
func encode(line any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil { // strings and numbers can always be encoded
		panic(err)
	}
	return b.Bytes()
}

// DamagedError is returned for a file that is not an archive, is truncated, or was changed.
// Its content must not be trusted.
type DamagedError struct {
	// Line counts from 1.
	Line   int64
	Reason string
}

// Error describes the damage, and what to do.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("line %d: %s. The file is not a complete export: copy it again, or export again", e.Line, e.Reason)
}
