package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Format is the log format that this code writes, and the highest that it can read.
// A record that names a higher one stops the reader; see [NewerFormatError].
const Format = 1

// A Kind says what an event did to its entity.
type Kind string

// The kinds of events. The words are stored in the log for ever.
const (
	Created Kind = "created"
	Updated Kind = "updated"
	Deleted Kind = "deleted"
)

// An Event is a fact about one entity: it got this version and this document. It
// carries its own preconditions (the version and the claims), by which [Admit] decides
// whether it holds.
type Event struct {
	// ID names the event, a UUIDv7, new for each.
	ID string
	// Source says which node appended it, for example /clusterlite/command/cmd-1.
	Source string
	// Collection and EntityID name the entity. EntityID is a UUID in lower case.
	Collection, EntityID string
	Kind                 Kind
	// Version is the version that the event creates: 1 for Created, else the one
	// before it plus one.
	Version int64
	// Time is the writer's clock, in UTC, with millisecond precision.
	Time time.Time
	// Claims are the unique keys that the entity holds after this event, sorted.
	// Empty for Deleted.
	Claims []string
	// IdempotencyKey is the client's key, empty if it sent none. RequestHash then
	// tells the request that it came with.
	IdempotencyKey, RequestHash string
	// TraceParent is a W3C trace context, or empty. It has no part in any decision.
	TraceParent string
	// Document is the whole document after the event, a JSON object without the
	// server's own members. Nil for Deleted.
	Document []byte
}

// Type is the event's CloudEvents type, for example clusterlite.users.created.
func (e Event) Type() string {
	return "clusterlite." + e.Collection + "." + string(e.Kind)
}

// Key is the key of the event's Kafka record: <collection>/<id>. It is there for
// people and for Kafka's tools; no rule reads it.
func (e Event) Key() string { return e.Collection + "/" + e.EntityID }

// A Position is how far a reader has come in the log: at position p it has dealt with
// every offset below p. Nearly every offset holds a record, so it is also about the number
// of records; see [NoRecord] for those that hold none. The end of the log is a position
// too. The zero Position is the beginning.
type Position int64

// A Record is one record of the log as a reader sees it: an event, a barrier, something
// that is not understood, or the fact that there is no record.
type Record struct {
	// Offset is the broker's coordinate of the record. If Content is NoRecord it is the
	// last of one or more offsets that hold none.
	Offset int64
	// Timestamp is the broker's clock at the append. It is zero if Content is NoRecord.
	Timestamp time.Time
	// Content says which of the following fields are set.
	Content Content
	// Checkpoint tells, if Content is Barrier, that readers are asked to remember what
	// their read models hold at the record's position. It has no part in admission.
	Checkpoint bool
	// Event is set if Content is HasEvent.
	Event Event
	// Format is the format that the record asks for if Content is NewerFormat.
	Format int
	// Malformed says what is wrong with the record if Content is Malformed.
	Malformed string

	// ID is the record's own id, whether or not the record is understood. If Content is
	// NoRecord, it says why there is no record.
	ID string
}

// Position is the position after the record.
func (r Record) Position() Position { return Position(r.Offset) + 1 }

// Identity tells the record from any other that could lie at its offset, by the broker's
// clock and the id that it was given: a log that holds another record there is not the
// log that was read.
func (r Record) Identity() string {
	if r.Content == NoRecord {
		return noRecordIdentity + fmt.Sprintf("%d %s", r.Offset, r.ID)
	}
	return fmt.Sprintf("%d %d %s", r.Offset, r.Timestamp.UnixMilli(), clip(r.ID))
}

// noRecordIdentity begins the identity of offsets that hold no record. No record's identity
// begins so.
const noRecordIdentity = "none "

// IdentifiesLastBefore reports whether an identity, as [Record.Identity] gave it, is that
// of the record right before a position.
func IdentifiesLastBefore(identity string, p Position) bool {
	identity = strings.TrimPrefix(identity, noRecordIdentity)
	return strings.HasPrefix(identity, strconv.FormatInt(int64(p)-1, 10)+" ")
}

// UpTo cuts what holds no record at a position, if the position lies within it: readers
// may find the same gap in one piece or in several. cut is false for all else.
func (r Record) UpTo(p Position) (before Record, cut bool) {
	if r.Content != NoRecord || r.Position() <= p || r.ID != Gap {
		return r, false
	}
	r.Offset = int64(p) - 1
	return r, true
}

// Content is what a [Record] holds.
type Content int

// The contents of records.
const (
	// HasEvent is a well-formed event.
	HasEvent Content = iota
	// Barrier is a record that only moves the position.
	Barrier
	// Malformed is anything that no rule understands.
	Malformed
	// NewerFormat is a record that this version of ClusterLite can't read.
	NewerFormat
	// NoRecord says that one or more offsets hold no record, so that a reader moves past
	// them: a transaction marker, or a place from which a record was removed.
	NoRecord
)

// NoRecordAt gives the record that stands for offsets that hold none, the last of which is
// offset. why says what is there instead, in words that are the same whenever the log is
// read: for example which transaction a marker ends.
func NoRecordAt(offset int64, why string) Record {
	return Record{Offset: offset, Content: NoRecord, ID: why}
}

// Gap is the reason that [NoRecordAt] takes for offsets that hold nothing at all.
const Gap = "gap"

// maxCollectionName keeps a collection's name, with the names derived from it, far
// below every limit of SQLite and of Kafka's headers.
const maxCollectionName = 63

// ValidCollection reports whether a collection of this name can be in the log: lower
// case letters, digits and underscores, at most 63, not SQLite's own prefix. It is a
// rule of storage and never changes.
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

// ValidID reports whether s can be the id of an entity or of an event: a UUID in its
// canonical form, lower case. It is a rule of storage and never changes.
func ValidID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// clip shortens what a stranger wrote before it goes into a message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
