package events

import (
	"fmt"
	"strings"
	"time"
)

// IdempotencyWindow is how long an idempotency key stays used, in log time.
const IdempotencyWindow = 24 * time.Hour

// State is what admission has to know of the records before the one that it decides.
// It is read, never changed, by one goroutine.
type State interface {
	// Version gives the version of an entity, and whether it lives. The version of a
	// deleted entity is that of its deletion; of one that never was, zero.
	Version(collection, id string) (version int64, living bool)
	// Holder gives the living entity that holds a claim, or an empty string.
	Holder(collection, claim string) (id string)
	// KeyUse tells the admitted event that used an idempotency key last.
	KeyUse(key string) (use KeyUse, used bool)
	// LogTime is the running maximum of the timestamps of the records so far.
	LogTime() time.Time
}

// KeyUse is the use of an idempotency key: which record, and at which log time.
type KeyUse struct {
	Offset int64
	At     time.Time
}

// Outcome is what admission decided.
type Outcome int

// The outcomes.
const (
	// Admitted: the event holds.
	Admitted Outcome = iota
	// Void: the record changes nothing but the position.
	Void
	// Passed: a barrier, or no record at all; only the position moves, and nothing is
	// wrong.
	Passed
)

// Reason says why a record is void.
type Reason string

// The reasons. The words are kept in read models and shown to operators.
const (
	ReasonMalformed Reason = "malformed"
	ReasonDuplicate Reason = "duplicate"
	ReasonConflict  Reason = "conflict"
	ReasonTaken     Reason = "taken"
)

// A Verdict is admission's answer for one record.
type Verdict struct {
	Outcome Outcome
	// Reason is set if the record is void.
	Reason Reason
	// Of is the offset of the event that a duplicate repeats.
	Of int64
	// Version is the version that the entity has where Reason is ReasonConflict; zero
	// if there is no such living entity.
	Version int64
	// Field and Holder say which unique field is taken, and by which entity.
	Field, Holder string
	// Detail explains a void to a person.
	Detail string
}

// NewerFormatError is returned for a record that a later version of ClusterLite wrote
// and this one can't read. To skip the record would part this reader from newer ones,
// so the reader must stop before it.
type NewerFormatError struct {
	Offset int64
	// Format is what the record needs; Format of this package is what there is.
	Format int
}

// Error says what to do.
func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("the record at offset %d needs log format %d, but this version supports formats up to %d: install a version of ClusterLite that supports format %d, then start it with the same data folder", e.Offset, e.Format, Format, e.Format)
}

// Admit decides about one record on the state that all records before it left. It is
// the whole of ClusterLite's concurrency control: writers append without asking, and
// every reader resolves races by this rule, in log order (the idea of Hyder, Bernstein
// et al., CIDR 2011, and Tango, Balakrishnan et al., SOSP 2013). It is pure. The error
// is a [NewerFormatError] or nil.
func Admit(s State, r Record) (Verdict, error) {
	switch r.Content {
	case NewerFormat:
		return Verdict{}, &NewerFormatError{Offset: r.Offset, Format: r.Format}
	case Barrier, NoRecord:
		return Verdict{Outcome: Passed}, nil
	case Malformed:
		return Verdict{Outcome: Void, Reason: ReasonMalformed, Detail: r.Malformed}, nil
	}
	for _, refuse := range []func(State, Record) (Verdict, bool){duplicate, conflict, taken} {
		if v, void := refuse(s, r); void {
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
	if !living {
		return Verdict{Reason: ReasonConflict, Detail: "the entity does not exist"}, true
	}
	if version != e.Version-1 {
		return Verdict{
			Reason: ReasonConflict, Version: version,
			Detail: fmt.Sprintf("it would create version %d, but the entity has version %d", e.Version, version),
		}, true
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

// ClaimField is the field that a claim is about.
func ClaimField(claim string) string {
	field, _, _ := strings.Cut(claim, ":")
	return field
}

// LogTime is the log time at a record: the later of the state's and its own timestamp.
// It never goes back, whatever a broker's clock does.
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
