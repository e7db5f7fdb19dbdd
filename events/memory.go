package events

import (
	"time"

	"github.com/clusterlite/clusterlite/events/document"
)

// An Entity is the state of one entity after all admitted events.
type Entity struct {
	Collection, ID string
	// Version is the version of the last admitted event, including a deletion.
	Version int64
	// Deleted reports that the entity was deleted. Only its version is kept.
	Deleted bool
	// CreatedAt and UpdatedAt are in [TimeFormat].
	CreatedAt, UpdatedAt string
	// Rendered is the entity as clients see it, a JSON object. It is nil if Deleted.
	Rendered []byte
	// Claims are the unique keys that the entity holds, sorted.
	Claims []string
}

// Next returns the entity after an admitted event.
func (e Entity) Next(event Event) Entity {
	now := FormatTime(event.Time)
	next := Entity{
		Collection: event.Collection, ID: event.EntityID, Version: event.Version,
		CreatedAt: e.CreatedAt, UpdatedAt: now, Claims: event.Claims,
	}
	switch event.Kind {
	case Deleted:
		next.Deleted = true
		return next
	case Created:
		next.CreatedAt = now
	}
	next.Rendered = document.Render(next.ID, next.Version, next.CreatedAt, next.UpdatedAt, event.Document)
	return next
}

// EntityKey identifies an entity in a [Memory].
type EntityKey struct{ Collection, ID string }

// ClaimKey identifies a claim in a [Memory].
type ClaimKey struct{ Collection, Claim string }

// Memory is a [State] in maps, and applies admitted events to it. It is the complete rule in its
// simplest form. Other implementations are tested against it, and a projection uses it on top of
// its database while it applies a batch. Not safe for concurrent use.
type Memory struct {
	Entities map[EntityKey]Entity
	Claims   map[ClaimKey]string
	Keys     map[string]KeyUse
	Time     time.Time
}

// NewMemory returns the state before the first record.
func NewMemory() *Memory {
	return &Memory{
		Entities: map[EntityKey]Entity{},
		Claims:   map[ClaimKey]string{},
		Keys:     map[string]KeyUse{},
		Time:     time.UnixMilli(0),
	}
}

var _ State = (*Memory)(nil)

// Version implements [State].
func (m *Memory) Version(collection, id string) (int64, bool) {
	e := m.Entities[EntityKey{collection, id}]
	return e.Version, e.Version > 0 && !e.Deleted
}

// Holder implements [State].
func (m *Memory) Holder(collection, claim string) string {
	return m.Claims[ClaimKey{collection, claim}]
}

// KeyUse implements [State].
func (m *Memory) KeyUse(key string) (KeyUse, bool) {
	use, used := m.Keys[key]
	return use, used
}

// LogTime implements [State].
func (m *Memory) LogTime() time.Time { return m.Time }

// Take admits a record and applies it. The error is that of [Admit], and then the state is
// unchanged.
func (m *Memory) Take(r Record) (Verdict, error) {
	v, err := Admit(m, r)
	if err != nil {
		return v, err
	}
	m.Time = LogTime(m, r)
	if v.Outcome == Admitted {
		m.apply(r)
	}
	return v, nil
}

func (m *Memory) apply(r Record) {
	e := r.Event
	key := EntityKey{e.Collection, e.EntityID}
	before := m.Entities[key]
	for _, claim := range before.Claims {
		// The holder becomes empty and is not removed, so that code that writes the changes to a
		// database sees that the claim was freed.
		m.Claims[ClaimKey{e.Collection, claim}] = ""
	}
	for _, claim := range e.Claims {
		m.Claims[ClaimKey{e.Collection, claim}] = e.EntityID
	}
	if e.IdempotencyKey != "" {
		m.Keys[e.IdempotencyKey] = KeyUse{Offset: r.Offset, At: m.Time}
	}
	m.Entities[key] = before.Next(e)
}
