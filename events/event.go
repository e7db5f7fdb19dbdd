package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Format is the highest log format that this code can read. A reader stops at a record with a higher
// one; see [NewerFormatError]. Writers use the lowest format that a record needs; see [Kind.Format].
const Format = 2

// A Kind is what an event does to its entity.
type Kind string

// The kinds of events. The log stores these words, so they never change.
const (
	Created Kind = "created"
	Updated Kind = "updated"
	Deleted Kind = "deleted"
	// Restored brings a deleted entity back. It needs log format 2.
	Restored Kind = "restored"
)

// Format returns the log format of events of the kind: the lowest that a reader must know.
func (k Kind) Format() int {
	if k == Restored {
		return 2
	}
	return 1
}

// An Event says that an entity got a new version with this document. It carries its own
// preconditions, the version and the claims, by which [Admit] decides whether it takes effect.
type Event struct {
	// ID identifies the event. It is a new UUIDv7 for each event.
	ID string
	// Source names the node that appended the event, for example /clusterlite/command/cmd-1.
	Source string
	// Collection and EntityID identify the entity. EntityID is a UUID in lower case.
	Collection, EntityID string
	Kind                 Kind
	// Version is the version that the event creates: 1 for Created, and one more than the
	// previous version otherwise.
	Version int64
	// Time is the time of the writer's clock, in UTC, with millisecond precision.
	Time time.Time
	// Claims are the unique keys that the entity holds after this event, sorted.
	// Empty for Deleted.
	Claims []string
	// IdempotencyKey is the client's key, or empty. RequestHash then identifies the request.
	IdempotencyKey, RequestHash string
	// Actor is the name of the client that asked for the change, as its credential gives it. It is
	// empty if the client was anonymous, or if the event does not come from a client. It meets
	// [ValidActor] or is empty. No decision depends on it.
	Actor string
	// TraceParent is a W3C trace context, or empty. No decision depends on it.
	TraceParent string
	// Document is the complete document after the event, a JSON object without the members of the
	// server. It is nil for Deleted.
	Document []byte
}

// Type returns the CloudEvents type of the event, for example clusterlite.users.created.
func (e Event) Type() string {
	return "clusterlite." + e.Collection + "." + string(e.Kind)
}

// Key returns the key of the event's Kafka record: <collection>/<id>. It serves people and
// Kafka's tools; no rule depends on it.
func (e Event) Key() string { return e.Collection + "/" + e.EntityID }

// A Position says how far a reader has come in the log: at position p it has processed every
// offset below p. The end of the log is a position too. The zero Position is the beginning.
// Nearly every offset holds a record, so a position is also about the number of records; see
// [NoRecord] for the exceptions.
type Position int64

// A Record is what a reader finds at an offset of the log: an event, a barrier, a malformed record
// or one of a newer format, or the fact that there is no record.
type Record struct {
	// Offset is the broker's coordinate of the record. If Content is NoRecord, it is the last of
	// one or more offsets without a record.
	Offset int64
	// Timestamp is the time of the append by the broker's clock. It is zero if Content is
	// NoRecord.
	Timestamp time.Time
	// Content says which of the following fields are set.
	Content Content
	// Checkpoint is set on a Barrier at whose position readers should remember what their read
	// models hold. It has no effect on admission.
	Checkpoint bool
	// Event is set if Content is HasEvent.
	Event Event
	// Format is the format that the record requires, if Content is NewerFormat.
	Format int
	// Malformed says what is wrong with the record, if Content is Malformed.
	Malformed string

	// ID is the record's own id, whether or not the record is valid. If Content is
	// NoRecord, it says why there is no record.
	ID string
}

// Position returns the position after the record.
func (r Record) Position() Position { return Position(r.Offset) + 1 }

// Identity distinguishes the record from any other that could be at its offset, by the broker's
// clock and the id of the record. If a log has another record there, it is not the log that was
// read before.
func (r Record) Identity() string {
	if r.Content == NoRecord {
		return noRecordIdentity + fmt.Sprintf("%d %s", r.Offset, r.ID)
	}
	return fmt.Sprintf("%d %d %s", r.Offset, r.Timestamp.UnixMilli(), clip(r.ID))
}

// noRecordIdentity is the prefix of the identities of offsets without a record. No identity of a
// record starts with it.
const noRecordIdentity = "none "

// IdentifiesLastBefore reports whether an identity, as returned by [Record.Identity], belongs to
// the record directly before a position.
func IdentifiesLastBefore(identity string, p Position) bool {
	identity = strings.TrimPrefix(identity, noRecordIdentity)
	return strings.HasPrefix(identity, strconv.FormatInt(int64(p)-1, 10)+" ")
}

// UpTo cuts a gap at a position, if the position lies within it. Readers may find the same gap in
// one piece or in several. cut is false for all other records.
func (r Record) UpTo(p Position) (before Record, cut bool) {
	if r.Content != NoRecord || r.Position() <= p || r.ID != Gap {
		return r, false
	}
	r.Offset = int64(p) - 1
	return r, true
}

// Content is the kind of content of a [Record].
type Content int

// The kinds of content.
const (
	// HasEvent is a well-formed event.
	HasEvent Content = iota
	// Barrier is a record that only moves the position.
	Barrier
	// Malformed is a record that no rule understands.
	Malformed
	// NewerFormat is a record that this version of ClusterLite can't read.
	NewerFormat
	// NoRecord means that one or more offsets hold no record, for example because of a
	// transaction marker or a removed record. Readers move past them.
	NoRecord
)

// NoRecordAt returns the record for one or more offsets without a record, the last of which is
// offset. why says what is there instead, for example the marker of a certain transaction. It must
// be the same whenever the log is read.
func NoRecordAt(offset int64, why string) Record {
	return Record{Offset: offset, Content: NoRecord, ID: why}
}

// Gap is the reason for [NoRecordAt] if the offsets hold nothing at all.
const Gap = "gap"

// maxCollectionName keeps the name of a collection, and names derived from it, far below the
// limits of SQLite and of Kafka's headers.
const maxCollectionName = 63

// ValidCollection reports whether the log can have a collection of this name: at most 63
// lower-case letters, digits and underscores, starting with a letter, and without SQLite's own
// prefix. The rule is part of the stored format and never changes.
func ValidCollection(name string) bool {
	if name == "" || len(name) > maxCollectionName || strings.HasPrefix(name, "sqlite_") {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return true
}

// ValidID reports whether s can be the id of an entity or event: a UUID in canonical form, in
// lower case. The rule is part of the stored format and never changes.
func ValidID(s string) bool {
	_, ok := PackID(s)
	return ok
}

// PackID returns the 16 bytes of an id, which sort as the texts of ids do. ok is false if the text is not
// a [ValidID].
func PackID(id string) (packed [16]byte, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return packed, false
	}
	all := byte(0)
	for i, at := range [16]byte{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		high, low := digits[id[at]], digits[id[at+1]]
		all |= high | low
		packed[i] = high<<4 | low
	}
	return packed, all <= 0xf
}

// digits has the values of the hexadecimal digits in lower case, and 0xff for all other bytes.
var digits = func() (values [256]byte) {
	for c := range values {
		values[c] = 0xff
	}
	for value, c := range []byte("0123456789abcdef") {
		values[c] = byte(value)
	}
	return values
}()

// maxActor is the maximum length of an actor in bytes. It is the longest that the subject of a
// token may be by the specifications that limit it.
const maxActor = 2048

// ValidActor reports whether s can be the [Event.Actor] of an event: 1 to 2048 bytes of UTF-8
// without control characters. The rule is part of the stored format and never changes.
func ValidActor(s string) bool {
	if s == "" || len(s) > maxActor {
		return false
	}
	for i, r := range s {
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

// clip shortens text from a foreign producer before it is stored in an identity.
func clip(s string) string {
	const maximum = 80
	if len(s) > maximum {
		return s[:maximum] + "…"
	}
	return s
}
