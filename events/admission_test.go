package events_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

const (
	ada   = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"
	bob   = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4e"
	mail1 = "email:AAAAAAAAAAAAAAAAAAAAAA"
	mail2 = "email:BBBBBBBBBBBBBBBBBBBBBB"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A story is a log that tests write as sentences: given these events, then this verdict.
type story struct {
	t      *testing.T
	state  *events.Memory
	offset int64
	clock  time.Time
}

func given(t *testing.T) *story {
	t.Helper()
	return &story{t: t, state: events.NewMemory(), clock: noon}
}

type option func(*events.Record)

func claiming(claims ...string) option {
	return func(r *events.Record) { r.Event.Claims = claims }
}

func keyed(key string) option {
	return func(r *events.Record) { r.Event.IdempotencyKey, r.Event.RequestHash = key, "h" }
}

func in(collection string) option {
	return func(r *events.Record) { r.Event.Collection = collection }
}

func (s *story) record(kind events.Kind, id string, version int64, options ...option) events.Record {
	r := events.Record{
		Offset: s.offset, Timestamp: s.clock, Content: events.HasEvent,
		Event: events.Event{
			ID: fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", s.offset), Source: "/test", Collection: "users", EntityID: id,
			Kind: kind, Version: version, Time: s.clock,
		},
	}
	if kind != events.Deleted {
		r.Event.Document = []byte(fmt.Sprintf(`{"n":%d}`, s.offset))
	}
	for _, o := range options {
		o(&r)
	}
	return r
}

func (s *story) take(r events.Record) events.Verdict {
	s.t.Helper()
	v, err := s.state.Take(r)
	if err != nil {
		s.t.Fatalf("offset %d: got %v, want no error", r.Offset, err)
	}
	s.offset++
	return v
}

func (s *story) admitted(kind events.Kind, id string, version int64, options ...option) *story {
	s.t.Helper()
	if v := s.take(s.record(kind, id, version, options...)); v.Outcome != events.Admitted {
		s.t.Fatalf("%s %s v%d: got %+v, want it admitted", kind, id, version, v)
	}
	return s
}

func (s *story) void(reason events.Reason, kind events.Kind, id string, version int64, options ...option) events.Verdict {
	s.t.Helper()
	v := s.take(s.record(kind, id, version, options...))
	if v.Outcome != events.Void || v.Reason != reason {
		s.t.Fatalf("%s %s v%d: got %+v, want it void as %s", kind, id, version, v, reason)
	}
	if v.Detail == "" {
		s.t.Fatalf("%s %s v%d: got no detail, want one", kind, id, version)
	}
	return v
}

func (s *story) later(d time.Duration) *story {
	s.clock = s.clock.Add(d)
	return s
}

func TestAdmitClaimsOfRestored(t *testing.T) {
	s := given(t).admitted(events.Created, ada, 1, claiming(mail1)).admitted(events.Deleted, ada, 2).admitted(events.Created, bob, 1, claiming(mail1))
	if v := s.void(events.ReasonTaken, events.Restored, ada, 3, claiming(mail1)); v.Holder != bob || v.Field != "email" {
		t.Errorf("got %+v, want the value held by %s", v, bob)
	}
	s.admitted(events.Restored, ada, 3, claiming(mail2)).void(events.ReasonTaken, events.Updated, bob, 2, claiming(mail2))
}

func TestAdmitStreams(t *testing.T) {
	t.Run("versions follow each other", func(t *testing.T) {
		given(t).admitted(events.Created, ada, 1).admitted(events.Updated, ada, 2).admitted(events.Deleted, ada, 3)
	})
	t.Run("an entity is created once", func(t *testing.T) {
		v := given(t).admitted(events.Created, ada, 1).void(events.ReasonConflict, events.Created, ada, 1)
		if v.Version != 1 {
			t.Errorf("got version %d in the conflict, want 1", v.Version)
		}
	})
	t.Run("a deleted entity stays deleted", func(t *testing.T) {
		s := given(t).admitted(events.Created, ada, 1).admitted(events.Deleted, ada, 2)
		s.void(events.ReasonConflict, events.Created, ada, 1)
		s.void(events.ReasonConflict, events.Updated, ada, 3)
		s.void(events.ReasonConflict, events.Deleted, ada, 3)
	})
	t.Run("a deleted entity is restored", func(t *testing.T) {
		s := given(t).admitted(events.Created, ada, 1).later(time.Hour).admitted(events.Deleted, ada, 2).admitted(events.Restored, ada, 3)
		e := s.state.Entities[events.EntityKey{Collection: "users", ID: ada}]
		if e.Deleted || e.Version != 3 || e.CreatedAt == e.UpdatedAt || e.Rendered == nil {
			t.Errorf("got %+v, want version 3 of the entity that was created first", e)
		}
		s.admitted(events.Updated, ada, 4).admitted(events.Deleted, ada, 5).admitted(events.Restored, ada, 6)
	})
	t.Run("only a deleted entity is restored", func(t *testing.T) {
		s := given(t)
		if v := s.void(events.ReasonConflict, events.Restored, ada, 2); v.Version != 0 {
			t.Errorf("got version %d of an unknown entity, want 0", v.Version)
		}
		s.admitted(events.Created, ada, 1)
		if v := s.void(events.ReasonConflict, events.Restored, ada, 2); v.Version != 1 {
			t.Errorf("got version %d of a living entity, want 1", v.Version)
		}
	})
	t.Run("the first of two racing restores holds", func(t *testing.T) {
		s := given(t).admitted(events.Created, ada, 1).admitted(events.Deleted, ada, 2)
		if v := s.void(events.ReasonConflict, events.Restored, ada, 4); v.Version != 0 {
			t.Errorf("got version %d of a deleted entity, want 0", v.Version)
		}
		s.admitted(events.Restored, ada, 3).void(events.ReasonConflict, events.Restored, ada, 3)
	})
	t.Run("an update of an unknown entity creates nothing", func(t *testing.T) {
		s := given(t)
		s.void(events.ReasonConflict, events.Updated, ada, 2)
		s.void(events.ReasonConflict, events.Deleted, ada, 2)
		if len(s.state.Entities) != 0 {
			t.Errorf("got the entities %v, want none", s.state.Entities)
		}
	})
	t.Run("the first of two racing updates holds", func(t *testing.T) {
		v := given(t).admitted(events.Created, ada, 1).admitted(events.Updated, ada, 2).void(events.ReasonConflict, events.Updated, ada, 2)
		if v.Version != 2 {
			t.Errorf("got version %d in the conflict, want 2", v.Version)
		}
	})
	t.Run("a version can't be skipped", func(t *testing.T) {
		given(t).admitted(events.Created, ada, 1).void(events.ReasonConflict, events.Updated, ada, 3)
	})
	t.Run("an event that comes twice counts once", func(t *testing.T) {
		s := given(t).admitted(events.Created, ada, 1)
		again := s.record(events.Updated, ada, 2)
		s.take(again)
		again.Offset = s.offset
		if v := s.take(again); v.Reason != events.ReasonConflict {
			t.Errorf("got %+v for the second, want a conflict", v)
		}
	})
	t.Run("collections are apart", func(t *testing.T) {
		given(t).admitted(events.Created, ada, 1, claiming(mail1)).admitted(events.Created, ada, 1, in("orders"), claiming(mail1))
	})
}

func TestAdmitClaims(t *testing.T) {
	t.Run("a held claim is taken", func(t *testing.T) {
		v := given(t).admitted(events.Created, ada, 1, claiming(mail1)).void(events.ReasonTaken, events.Created, bob, 1, claiming(mail1))
		if v.Field != "email" || v.Holder != ada {
			t.Errorf("got field %q and holder %q, want email and %s", v.Field, v.Holder, ada)
		}
	})
	t.Run("its holder keeps it", func(t *testing.T) {
		given(t).admitted(events.Created, ada, 1, claiming(mail1)).admitted(events.Updated, ada, 2, claiming(mail1))
	})
	t.Run("an update frees what it no longer claims", func(t *testing.T) {
		given(t).admitted(events.Created, ada, 1, claiming(mail1)).admitted(events.Updated, ada, 2, claiming(mail2)).admitted(events.Created, bob, 1, claiming(mail1))
	})
	t.Run("a deletion frees all", func(t *testing.T) {
		given(t).admitted(events.Created, ada, 1, claiming(mail1, mail2)).admitted(events.Deleted, ada, 2).admitted(events.Created, bob, 1, claiming(mail1, mail2))
	})
	t.Run("a void event claims nothing", func(t *testing.T) {
		s := given(t).admitted(events.Created, ada, 1, claiming(mail1))
		s.void(events.ReasonTaken, events.Created, bob, 1, claiming(mail1, mail2))
		s.admitted(events.Created, bob, 1, claiming(mail2))
	})
}

func TestAdmitIdempotencyKeys(t *testing.T) {
	t.Run("a key is used once", func(t *testing.T) {
		v := given(t).admitted(events.Created, ada, 1, keyed("k")).void(events.ReasonDuplicate, events.Created, bob, 1, keyed("k"))
		if v.Of != 0 {
			t.Errorf("got a duplicate of offset %d, want 0", v.Of)
		}
	})
	t.Run("a duplicate comes before a conflict", func(t *testing.T) {
		given(t).admitted(events.Created, ada, 1, keyed("k")).void(events.ReasonDuplicate, events.Created, ada, 1, keyed("k"))
	})
	t.Run("a void event uses no key", func(t *testing.T) {
		s := given(t)
		s.void(events.ReasonConflict, events.Updated, ada, 2, keyed("k"))
		s.admitted(events.Created, ada, 1, keyed("k"))
	})
	t.Run("the window ends after 24 hours of log time", func(t *testing.T) {
		s := given(t).admitted(events.Created, ada, 1, keyed("k"))
		s.later(24*time.Hour-time.Millisecond).void(events.ReasonDuplicate, events.Created, bob, 1, keyed("k"))
		s.later(time.Millisecond).admitted(events.Created, bob, 1, keyed("k"))
	})
	t.Run("log time never goes back", func(t *testing.T) {
		s := given(t).admitted(events.Created, ada, 1, keyed("k")).later(25*time.Hour).admitted(events.Updated, ada, 2)
		s.later(-25*time.Hour).admitted(events.Created, bob, 1, keyed("k"))
	})
}

func TestAdmitOtherRecords(t *testing.T) {
	s := given(t)
	if v := s.take(events.Record{Content: events.Barrier}); v.Outcome != events.Passed {
		t.Errorf("a barrier: got %+v, want it passed", v)
	}
	if v := s.take(events.Record{Content: events.Malformed, Malformed: "no type"}); v.Outcome != events.Void || v.Reason != events.ReasonMalformed || v.Detail != "no type" {
		t.Errorf("a malformed record: got %+v, want it void as malformed with its detail", v)
	}
	_, err := s.state.Take(events.Record{Content: events.NewerFormat, Format: 7, Offset: 42})
	var newer *events.NewerFormatError
	if !errors.As(err, &newer) || newer.Offset != 42 || newer.Format != 7 {
		t.Errorf("a newer format: got %v, want a NewerFormatError of format 7 at offset 42", err)
	}
}
