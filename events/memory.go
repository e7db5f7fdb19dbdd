package events

import (
	"time"

	"github.com/clusterlite/clusterlite/events/document"
)

// An Entity is what admitted events made of one entity.
type Entity struct {
	Collection, ID string
	// Version is that of the last admitted event, the deletion included.
	Version int64
	// Deleted tells that the entity is gone, and only its version is kept.
	Deleted bool
	// CreatedAt and UpdatedAt are in [TimeFormat].
	CreatedAt, UpdatedAt string
	// Rendered is the entity as clients see it, one JSON object. Nil if Deleted.
	Rendered []byte
	// Claims are the unique keys that the entity holds, sorted.
	Claims []string
}

// Next is the entity after an admitted event.
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

// EntityKey names an entity in a [Memory].
type EntityKey struct{ Collection, ID string }

// ClaimKey names a claim in a [Memory].
type ClaimKey struct{ Collection, Claim string }

// Memory is a [State] in maps, together with what admitted events do to it. It is the
// whole rule in its simplest form, by which other implementations are tested, and what
// a projector lays over its database while it works on a batch. Not safe for concurrent
// use.
type Memory struct {
	Entities map[EntityKey]Entity
	Claims   map[ClaimKey]string
	Keys     map[string]KeyUse
	Time     time.Time
}

// NewMemory gives the state before the first record.
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

// Take admits a record and applies it. The error is that of [Admit]; the state is then
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
		// An empty holder, not a missing one: whoever writes the difference to a
		// database must see that the claim was freed.
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
