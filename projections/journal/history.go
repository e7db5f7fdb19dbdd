package journal

import (
	"github.com/clusterlite/clusterlite/events"
)

// Newest returns the newest event of an entity up to a position. It returns [ErrNotFound] if the
// entity had none, and [ErrNotHeld] if the journal can't know.
func (j *Journal) Newest(collection, id string, upTo events.Position) (Entry, error) {
	return j.descend(collection, id,
		func(e *Entry) bool { return e.Position <= upTo },
		func(e *Entry) bool { return e.jump <= upTo },
		func(s state) bool { return upTo < s.segments[0].start })
}

// Version returns the event that made a version of an entity. It returns [ErrNotFound] if there is
// none, and [ErrNotHeld] if the version is from before the start of the journal.
func (j *Journal) Version(collection, id string, version int64) (Entry, error) {
	e, err := j.descend(collection, id,
		func(e *Entry) bool { return e.Event.Version <= version },
		func(e *Entry) bool { return e.jumpVersion <= version },
		func(state) bool { return false })
	if err == nil && e.Event.Version != version {
		return Entry{}, ErrNotFound
	}
	return e, err
}

// descend goes back from the newest event of an entity to the first for which enough holds. There,
// enoughThere says whether it holds for the event that the jump leads to.
func (j *Journal) descend(collection, id string, enough, enoughThere func(*Entry) bool, before func(state) bool) (found Entry, err error) {
	packed, err := packID(id)
	if err != nil {
		return Entry{}, ErrNotFound
	}
	hash := j.key.hash(collection, packed)
	err = j.read(func(s state) (string, error) {
		if before(s) {
			return "", ErrNotHeld
		}
		e, path, err := j.newest(s, collection, id, hash)
		for err == nil && !enough(&e) {
			next := e.Previous
			if e.jump != 0 && !enoughThere(&e) {
				next = e.jump
			}
			if next == 0 {
				if e.Event.Version > 1 {
					return "", ErrNotHeld
				}
				return "", ErrNotFound
			}
			if e, path, err = j.at(s, next); err == ErrNotFound { //nolint:errorlint // our own, and never wrapped
				err = errBad // a record names it
			}
		}
		if err == ErrNotFound && s.segments[0].start > 0 { //nolint:errorlint // our own, and never wrapped
			err = ErrNotHeld
		}
		found = e
		return path, err
	})
	return found, err
}

// newest returns the newest published event of an entity.
func (j *Journal) newest(s state, collection, id string, hash uint64) (Entry, string, error) {
	var some [4]events.Position
	candidates := some[:0]
	j.mu.RLock()
	s.segments = j.segments // a candidate may lie in one that began after s
	j.heads.candidates(hash, func(at events.Position) bool { candidates = append(candidates, at); return true })
	j.mu.RUnlock()
	for _, at := range candidates {
		for at > s.published {
			v := j.view(s, at)
			found, p, _, err := v.after(at - 1)
			if err != nil {
				return Entry{}, v.path, err
			}
			if !found || p.at != at {
				return Entry{}, v.path, errBad // unless it was cut off meanwhile
			}
			at = p.previous
		}
		if at == 0 {
			continue
		}
		e, path, err := j.at(s, at)
		if err == ErrNotFound { //nolint:errorlint // our own, and never wrapped
			err = errBad // the index names it
		}
		if err != nil {
			return Entry{}, path, err
		}
		if e.Event.EntityID == id && e.Event.Collection == collection {
			return e, path, nil
		}
	}
	return Entry{}, "", ErrNotFound
}
