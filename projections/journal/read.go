package journal

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// A state is what a read needs of the journal, as it was at one moment.
type state struct {
	segments  []*segment
	published events.Position
	cuts      int
}

// begin returns the state for a read, or why the journal can't be read.
func (j *Journal) begin() (state, error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.closed {
		return state{}, ErrClosed
	}
	return state{j.segments, j.published, j.cuts}, j.damage
}

// read calls f until it is not disturbed by the writer, who may cut off what was not published.
func (j *Journal) read(f func(s state) (path string, err error)) error {
	for {
		s, err := j.begin()
		if err != nil {
			return err
		}
		path, err := f(s)
		if !errors.Is(err, errBad) && !errors.Is(err, errTorn) {
			return err
		}
		if now, _ := j.begin(); now.cuts == s.cuts {
			return j.damaged(path, err)
		}
	}
}

// view returns the segment that has the record before a position.
func (j *Journal) view(s state, at events.Position) view {
	i := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].start >= at })
	j.mu.RLock()
	defer j.mu.RUnlock()
	return s.segments[max(i-1, 0)].view()
}

// Each passes the events after one position up to another, in order, to each. The entry and its
// document are valid until each returns. until may be greater than [Journal.End], which is then the
// limit. Each returns the position up to which it has passed all events, [ErrNotHeld], a
// [DamagedError], ctx.Err(), or the error of each.
func (j *Journal) Each(ctx context.Context, after, until events.Position, each func(*Entry) error) (reached events.Position, err error) {
	reached = after
	var d decoder
	var e Entry
	err = j.read(func(s state) (string, error) {
		if after < s.segments[0].start {
			return "", ErrNotHeld
		}
		until := min(until, s.published)
		for reached < until {
			v := j.view(s, reached+1)
			from, to, err := v.between(reached, until)
			if err != nil {
				return v.path, err
			}
			var failed error
			err = v.records(from, to, func(_ int64, content []byte) (bool, error) {
				if kind, at, _ := head(content); kind == progress || at <= reached {
					return true, nil
				}
				if err := d.entry(content, &e); err != nil {
					return false, err
				}
				if failed = ctx.Err(); failed == nil {
					failed = each(&e)
				}
				if failed == nil {
					reached = e.Position
				}
				return failed == nil, nil
			})
			if err = errors.Join(failed, err); err != nil {
				return v.path, err
			}
			reached = min(until, max(v.end, reached))
		}
		return "", nil
	})
	return reached, err
}

// between returns the offsets of the records after one position up to another.
func (v view) between(after, until events.Position) (from, to int64, err error) {
	found, p, _, err := v.after(after)
	if err != nil || !found {
		return v.size, v.size, err
	}
	from = p.offset
	if found, p, _, err = v.after(until); err != nil || !found {
		return from, v.size, err
	}
	return from, p.offset, nil
}

// At returns the event at a position. It returns [ErrNotFound] if there is none, and [ErrNotHeld] if
// the position is before the start of the journal.
func (j *Journal) At(at events.Position) (e Entry, err error) {
	err = j.read(func(s state) (string, error) {
		if at <= s.segments[0].start {
			return "", ErrNotHeld
		}
		if at > s.published {
			return "", ErrNotFound
		}
		var path string
		e, path, err = j.at(s, at)
		return path, err
	})
	return e, err
}

// at returns a published event.
func (j *Journal) at(s state, at events.Position) (Entry, string, error) {
	v := j.view(s, at)
	found, p, next, err := v.after(at - 1)
	if err != nil {
		return Entry{}, v.path, err
	}
	if !found || p.at != at {
		return Entry{}, v.path, ErrNotFound
	}
	var d decoder
	e, err := v.entry(&d, p, next)
	return e, v.path, err
}

// Until returns the position up to which the log time is not after a time. It is the state that
// `clusterlite replay --until` makes. [ErrNotHeld] means that the journal begins later.
func (j *Journal) Until(t time.Time) (at events.Position, err error) {
	err = j.read(func(s state) (string, error) {
		j.mu.RLock()
		i := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].endTime.After(t) })
		held := s.segments[0].start == 0 || !s.segments[0].startTime.After(t)
		j.mu.RUnlock()
		if !held {
			return "", ErrNotHeld
		}
		for at = s.published; i < len(s.segments); i++ {
			j.mu.RLock()
			v := s.segments[i].view()
			j.mu.RUnlock()
			found, p, _, err := v.afterTime(t)
			if err != nil {
				return v.path, err
			}
			if found {
				at = min(at, p.at-1)
				return "", nil
			}
		}
		return "", nil
	})
	return at, err
}
