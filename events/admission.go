package events

import (
	"fmt"
	"strings"
	"time"
)

// IdempotencyWindow is how long an idempotency key stays used, in log time.
const IdempotencyWindow = 24 * time.Hour

// State is the state before a record, on which admission depends. Admission only reads it, from
// one goroutine.
type State interface {
	// Version returns the version of an entity, and whether the entity lives. The version of a
	// deleted entity is that of its deletion. The version of an entity that never existed is
	// zero.
	Version(collection, id string) (version int64, living bool)
	// Holder returns the living entity that holds a claim, or an empty string.
	Holder(collection, claim string) (id string)
	// KeyUse returns the last admitted event that used an idempotency key.
	KeyUse(key string) (use KeyUse, used bool)
	// LogTime returns the maximum of the timestamps of all records so far.
	LogTime() time.Time
}

// KeyUse is the use of an idempotency key: the offset of the record, and its log time.
type KeyUse struct {
	Offset int64
	At     time.Time
}

// Outcome is the decision of admission.
type Outcome int

// The outcomes.
const (
	// Admitted: the event takes effect.
	Admitted Outcome = iota
	// Void: the record moves the position and has no other effect.
	Void
	// Passed: a barrier, or no record at all. It moves the position, and nothing is wrong.
	Passed
)

// Reason is the reason why a record is void.
type Reason string

// The reasons. Read models store these words, and operators see them.
const (
	ReasonMalformed Reason = "malformed"
	ReasonDuplicate Reason = "duplicate"
	ReasonConflict  Reason = "conflict"
	ReasonTaken     Reason = "taken"
)

// A Verdict is the result of admission for one record.
type Verdict struct {
	Outcome Outcome
	// Reason is set if the record is void.
	Reason Reason
	// Of is the offset of the event that a duplicate repeats.
	Of int64
	// Version is the current version of the entity if Reason is ReasonConflict, or zero if no
	// such entity lives.
	Version int64
	// Field and Holder name the unique field whose value is taken, and the entity that holds it.
	Field, Holder string
	// Detail explains to a person why the record is void.
	Detail string
}

// NewerFormatError is returned for a record of a later version of ClusterLite that this version
// can't read. The reader must stop before the record. If it skipped the record, it would disagree
// with newer readers.
type NewerFormatError struct {
	Offset int64
	// Format is the format that the record requires.
	Format int
}

// Error says what to do.
func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("the record at offset %d needs log format %d, but this version supports formats up to %d: install a version of ClusterLite that supports format %d, then start it with the same data folder", e.Offset, e.Format, Format, e.Format)
}

// Admit decides about one record, based on the state that all records before it left. It is all
// of ClusterLite's concurrency control: writers append without coordination, and every reader
// resolves their races by this rule, in the order of the log. (The idea is that of Hyder,
// Bernstein et al., CIDR 2011, and Tango, Balakrishnan et al., SOSP 2013.) Admit is pure. The
// error is a [NewerFormatError] or nil.
func Admit(s State, r Record) (Verdict, error) {
	switch r.Content {
	case NewerFormat:
		return Verdict{}, &NewerFormatError{Offset: r.Offset, Format: r.Format}
	case Barrier, NoRecord:
		return Verdict{Outcome: Passed}, nil
	case Malformed:
		return Verdict{Outcome: Void, Reason: ReasonMalformed, Detail: r.Malformed}, nil
	}
	for _, check := range []func(State, Record) (Verdict, bool){duplicate, conflict, taken} {
		if v, void := check(s, r); void {
			v.Outcome = Void
			return v, nil
		}
	}
	return Verdict{Outcome: Admitted}, nil
}

func duplicate(s State, r Record) (Verdict, bool) {
	if r.Event.IdempotencyKey == "" {
		return Verdict{}, false
	}
	use, used := s.KeyUse(r.Event.IdempotencyKey)
	if !used || LogTime(s, r).Sub(use.At) >= IdempotencyWindow {
		return Verdict{}, false
	}
	return Verdict{
		Reason: ReasonDuplicate, Of: use.Offset,
		Detail: fmt.Sprintf("its idempotency key was already used at offset %d", use.Offset),
	}, true
}

func conflict(s State, r Record) (Verdict, bool) {
	e := r.Event
	version, living := s.Version(e.Collection, e.EntityID)
	if e.Kind == Created {
		if version == 0 {
			return Verdict{}, false
		}
		return Verdict{Reason: ReasonConflict, Version: version, Detail: "the entity exists or existed"}, true
	}
	switch {
	case e.Kind == Restored && living:
		return Verdict{Reason: ReasonConflict, Version: version, Detail: "the entity is not deleted"}, true
	case e.Kind == Restored && version == 0, e.Kind != Restored && !living:
		return Verdict{Reason: ReasonConflict, Detail: "the entity does not exist"}, true
	}
	if version != e.Version-1 {
		v := Verdict{
			Reason: ReasonConflict,
			Detail: fmt.Sprintf("it would create version %d, but the entity has version %d", e.Version, version),
		}
		if living {
			v.Version = version
		}
		return v, true
	}
	return Verdict{}, false
}

func taken(s State, r Record) (Verdict, bool) {
	for _, claim := range r.Event.Claims {
		holder := s.Holder(r.Event.Collection, claim)
		if holder == "" || holder == r.Event.EntityID {
			continue
		}
		field := ClaimField(claim)
		return Verdict{
			Reason: ReasonTaken, Field: field, Holder: holder,
			Detail: fmt.Sprintf("the value of %s is held by %s", field, holder),
		}, true
	}
	return Verdict{}, false
}

// ClaimField returns the field of a claim.
func ClaimField(claim string) string {
	field, _, _ := strings.Cut(claim, ":")
	return field
}

// LogTime returns the log time at a record: the later of the state's log time and the timestamp
// of the record. It never goes back, even if the broker's clock does.
func LogTime(s State, r Record) time.Time {
	if t := s.LogTime(); t.After(r.Timestamp) {
		return t
	}
	return r.Timestamp
}

// ValidIdempotencyKey reports whether s can be an idempotency key: 1 to 255 visible
// ASCII characters.
func ValidIdempotencyKey(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}
