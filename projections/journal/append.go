package journal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// writeBytes is the size from which Append writes records before it has encoded all of them.
const writeBytes = 1 << 20

// Append adds a batch: its events in order, and the position up to which the journal is then
// complete. logTime is the log time there. Append fills in Previous of the entries. Readers see the
// batch once it is published. After an error the caller has to call Cut.
func (j *Journal) Append(entries []Entry, through events.Position, logTime time.Time) error {
	if err := j.Damage(); err != nil {
		return err
	}
	if through <= j.end() || len(entries) > 0 && entries[0].Position <= j.end() {
		return fmt.Errorf("append to the journal at position %d: it holds position %d already", through, j.end())
	}
	for i := range entries {
		if err := j.add(&entries[i]); err != nil {
			return err
		}
	}
	if j.end() < through {
		j.pending = appendProgress(j.pending, through, logTime)
		j.extend(through, logTime)
	}
	return j.write()
}

// add adds an event to the pending records.
func (j *Journal) add(e *Entry) error {
	if s := j.last(); len(s.index) > 0 && s.size+int64(len(j.pending)) >= j.options.SegmentBytes || e.Position-s.start > math.MaxUint32 {
		if err := j.roll(); err != nil {
			return err
		}
	}
	id, err := packID(e.Event.EntityID)
	if err != nil {
		return fmt.Errorf("append to the journal: %w", err)
	}
	hash := j.key.hash(e.Event.Collection, id)
	e.Previous, e.jump, e.jumpVersion = 0, 0, e.Event.Version
	if e.Event.Version > 1 {
		if err := j.link(e, hash); err != nil {
			return err
		}
	}
	s := j.last()
	offset := s.size + int64(len(j.pending))
	if j.pending, err = appendEntry(j.pending, e); err != nil {
		return fmt.Errorf("append to the journal: %w", err)
	}
	j.mu.Lock()
	s.index = append(s.index, indexEntry{at: e.Position, previous: e.Previous, offset: offset, hash: hash})
	s.events++
	s.end, s.endTime = e.Position, e.LogTime
	j.heads.move(hash, e.Previous, e.Position)
	j.mu.Unlock()
	if len(j.pending) >= writeBytes {
		return j.write()
	}
	return nil
}

// link finds the entity's previous event, and an earlier one such that any version can be reached in
// a logarithmic number of steps: the jumps of an event lead to the versions that a skew binary
// number has without its last digits.
func (j *Journal) link(e *Entry, hash uint64) error {
	previous, err := j.newestAppended(e.Event.Collection, e.Event.EntityID, hash)
	if errors.Is(err, ErrNotFound) {
		return nil // it is from before the start of the journal
	}
	if err != nil {
		return err
	}
	e.Previous = previous.Position
	e.jump, e.jumpVersion = previous.Position, previous.Event.Version
	if previous.jump == 0 {
		return nil
	}
	further, err := j.appended(previous.jump)
	if err != nil {
		return err
	}
	if previous.Event.Version-previous.jumpVersion == previous.jumpVersion-further.jumpVersion {
		if e.jump, e.jumpVersion = further.jump, further.jumpVersion; further.jump == 0 {
			e.jump = further.Position
		}
	}
	return nil
}

// newestAppended returns the newest event of an entity that was appended, published or not.
func (j *Journal) newestAppended(collection, id string, hash uint64) (found Entry, err error) {
	var candidates [4]events.Position
	all := candidates[:0]
	j.heads.candidates(hash, func(at events.Position) bool { all = append(all, at); return true })
	for _, at := range all {
		if found, err = j.appended(at); err != nil {
			return Entry{}, err
		}
		if found.Event.EntityID == id && found.Event.Collection == collection {
			return found, nil
		}
	}
	return Entry{}, ErrNotFound
}

// appended returns an event that was appended, published or not. Only the writer calls it.
func (j *Journal) appended(at events.Position) (e Entry, err error) {
	v := j.segmentAt(at).view()
	found, p, next, err := v.after(at - 1)
	if err == nil && (!found || p.at != at) {
		err = errBad // the heads and the index name it
	}
	if err == nil {
		if p.offset >= v.size {
			e, err = decodeAt(&j.d, j.pending[p.offset-v.size:])
		} else {
			e, err = v.entry(&j.d, p, next)
		}
	}
	if err != nil {
		return Entry{}, j.damaged(v.path, err)
	}
	return e, nil
}

// extend notes that the pending records reach a position.
func (j *Journal) extend(through events.Position, logTime time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.last()
	s.end, s.endTime = through, logTime
}

// write writes the pending records.
func (j *Journal) write() error {
	if len(j.pending) == 0 {
		return nil
	}
	s := j.last()
	if _, err := s.file.WriteAt(j.pending, s.size); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.size += int64(len(j.pending))
	if j.pending = j.pending[:0]; cap(j.pending) > 2*writeBytes {
		j.pending = nil
	}
	return nil
}

// roll completes the open segment and begins another.
func (j *Journal) roll() error {
	if err := j.write(); err != nil {
		return err
	}
	s := j.last()
	next, err := createSegment(j.options.Dir, s.end, s.endTime, j.key)
	if err != nil {
		return fmt.Errorf("begin a segment of the journal: %w", err)
	}
	sparse, err := s.writeIndex()
	if err != nil {
		return errors.Join(fmt.Errorf("complete a segment of the journal: %w", err), next.file.Close(), os.Remove(next.path))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.index, s.full = sparse, true
	j.segments = append(j.segments, next)
	j.unsynced = append(j.unsynced, s)
	return nil
}

// Publish lets readers see everything up to a position. The writer calls it once the read model has
// committed the batch.
func (j *Journal) Publish(at events.Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.published = min(at, j.segments[len(j.segments)-1].end)
}

// Cut removes what was appended after a position, which must not have been published. The writer
// calls it if the read model did not commit.
func (j *Journal) Cut(at events.Position) error {
	j.pending = j.pending[:0]
	if err := j.cut(at); err != nil {
		return fmt.Errorf("cut the journal: %w", err)
	}
	return nil
}

func (j *Journal) cut(at events.Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cuts++
	for len(j.segments) > 1 && j.last().start >= at {
		s := j.last()
		if err := s.unseal(); err != nil {
			return err
		}
		j.forget(s, 0)
		if err := errors.Join(s.file.Close(), os.Remove(s.path)); err != nil {
			return err
		}
		j.segments = slices.Clone(j.segments[:len(j.segments)-1]) // readers may have the previous slice
	}
	s := j.last()
	if err := s.unseal(); err != nil {
		return err
	}
	if s.end < at {
		return &DamagedError{s.path, fmt.Errorf("it ends at position %d, before position %d", s.end, at)}
	}
	keep := len(s.index)
	for keep > 0 && s.index[keep-1].at > at {
		keep--
	}
	if keep == len(s.index) && s.end == at {
		return s.file.Truncate(s.size) // also what a write left that failed
	}
	if keep < len(s.index) {
		s.size = min(s.size, s.index[keep].offset)
		j.forget(s, keep)
	}
	return j.trim(s, at)
}

// forget removes the events of a segment from the index, beginning with one.
func (j *Journal) forget(s *segment, from int) {
	for i := len(s.index) - 1; i >= from; i-- {
		p := s.index[i]
		j.heads.move(p.hash, p.at, p.previous)
	}
	s.index, s.events = slices.Clone(s.index[:from]), from // readers may have the previous slice
}

// trim makes a segment end at a position, after the last event that it keeps.
func (j *Journal) trim(s *segment, at events.Position) error {
	from := int64(headerBytes)
	if n := len(s.index); n > 0 {
		from = s.index[n-1].offset
	}
	end, logTime, size := s.start, s.startTime, int64(headerBytes)
	err := s.records(from, s.size, func(offset int64, content []byte) (bool, error) {
		_, p, t := head(content)
		if p > at {
			return false, nil
		}
		end, logTime, size = p, t, offset+frameBytes+int64(len(content))
		return true, nil
	})
	if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errBad) {
		return err
	}
	s.end, s.endTime, s.size = end, logTime, size
	if err := s.file.Truncate(size); err != nil {
		return err
	}
	if end == at {
		return nil
	}
	// The records between belong to a longer batch, and hold no event.
	b := appendProgress(nil, at, logTime)
	if _, err := s.file.WriteAt(b, size); err != nil {
		return err
	}
	s.end, s.size = at, size+int64(len(b))
	return nil
}

// Sync syncs what was written to the disk. It may run beside the writer, and limits how much a power
// loss takes.
func (j *Journal) Sync() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	dirty := append(j.unsynced, j.last())
	j.unsynced = nil
	j.mu.Unlock()
	var errs []error
	for _, s := range dirty {
		if err := s.file.Sync(); !errors.Is(err, os.ErrClosed) { // it was cut off
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sync the journal: %w", err)
	}
	return nil
}
