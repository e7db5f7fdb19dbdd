package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A partition is the log of one partition in its folder.
type partition struct {
	dir      string
	known    *markedPartition // the part that is known to be acknowledged; nil if none is
	forever  bool             // only DeleteRecords ever removes a record
	gaps     bool             // compaction may have removed some records
	segments []*segment
}

// snapshot is the file that the broker writes into a partition's folder when it stops. If the
// segments still have these sizes, the broker trusts the rest and reads one segment at a time.
// Otherwise it holds the whole log in memory while it starts.
type snapshot struct {
	Version          int              `json:"version"`
	HighWatermark    int64            `json:"high_watermark"`
	LastStableOffset int64            `json:"last_stable_offset"`
	LogStartOffset   int64            `json:"log_start_offset"`
	Epoch            int32            `json:"epoch"`
	LeaderNode       int32            `json:"leader_node,omitempty"`
	MaxTimestamp     int64            `json:"max_timestamp"`
	CreatedAt        time.Time        `json:"created_at"`
	AbortedTxns      []abortedTxn     `json:"aborted_txns,omitempty"`
	Segments         []snapshotOfFile `json:"segments"`
}

type abortedTxn struct {
	ProducerID  int64 `json:"producer_id"`
	FirstOffset int64 `json:"first_offset"`
	LastOffset  int64 `json:"last_offset"`
}

type snapshotOfFile struct {
	BaseOffset int64 `json:"base_offset"`
	Size       int64 `json:"size"`
	MinEpoch   int32 `json:"min_epoch,omitempty"`
	MaxEpoch   int32 `json:"max_epoch,omitempty"`
}

// checkPartition reads a partition's folder. It adds to the repairs, or returns a [*DamagedError].
func (c *check) checkPartition(p *partition) error {
	segments, indexes, err := p.files()
	if err != nil {
		return c.lost(err, p.dir)
	}
	for _, base := range segments {
		s, err := readSegment(p.file(base, segmentSuffix), base, p.gaps)
		if err != nil {
			return err
		}
		if err := c.checkSegment(p, s, base == segments[len(segments)-1]); err != nil {
			return err
		}
		p.segments = append(p.segments, s)
	}
	for _, base := range indexes {
		if slices.Contains(segments, base) || sizeOf(p.file(base, ".idx")) == 0 {
			continue
		}
		// An interrupted DeleteRecords leaves the index of a segment that it removed.
		if trimmed := base < p.end() && (!p.forever || p.known != nil && p.known.Start >= p.segments[0].base); !trimmed {
			return c.damaged(p.file(base, segmentSuffix), 0, "the file is missing, but its index exists")
		}
	}
	if err := c.checkBounds(p); err != nil {
		return err
	}
	return c.checkSnapshot(p)
}

// files lists the offsets in the names of the segments and of the indexes, in order.
func (p *partition) files() (segments, indexes []int64, err error) {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil // the broker creates the folder with the first record
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		suffix := filepath.Ext(e.Name())
		if suffix != segmentSuffix && suffix != ".idx" {
			continue
		}
		number := strings.TrimSuffix(e.Name(), suffix)
		base, err := strconv.ParseInt(number, 10, 64)
		switch {
		case err != nil || base < 0 || strconv.FormatInt(base, 10) != number || !e.Type().IsRegular():
			if suffix == segmentSuffix {
				return nil, nil, fmt.Errorf("unexpected file %s", e.Name())
			}
		case suffix == segmentSuffix:
			segments = append(segments, base)
		default:
			indexes = append(indexes, base)
		}
	}
	slices.Sort(segments)
	return segments, indexes, nil
}

func (p *partition) file(base int64, suffix string) string {
	return filepath.Join(p.dir, strconv.FormatInt(base, 10)+suffix)
}

// end returns the offset after the last record.
func (p *partition) end() int64 {
	if len(p.segments) == 0 {
		return 0
	}
	return p.segments[len(p.segments)-1].next
}

// checkSegment returns an error if a segment is damaged, or adds its repairs.
func (c *check) checkSegment(p *partition, s *segment, last bool) error {
	if len(p.segments) > 0 {
		if end := p.end(); s.base < end || s.base > end && !p.gaps {
			return c.damaged(s.path, 0, fmt.Sprintf("the segment begins at offset %d, but the one before it ends at %d", s.base, end))
		}
	}
	switch {
	case s.tail != nil && (!last || !s.tail.torn || s.indexHasTail || !s.indexed):
		// The broker writes the batch, then its entry in the index, syncs both, and then
		// acknowledges. Only a batch without an entry was certainly never acknowledged.
		return c.damagedEnd(p, s, last, s.tail.found)
	case s.tail == nil && s.indexHasTail && s.indexed && last:
		return c.damagedEnd(p, s, last, "the file ends here")
	case s.count == 0 && s.tail == nil && !last:
		return c.damaged(s.path, 0, "the file is empty, but another segment follows")
	}
	if s.tail != nil {
		c.repairs = append(c.repairs, cut{file: s.path, size: s.size, found: s.tail.found})
	}
	if s.rebuilt != nil {
		missing := len(s.rebuilt) - len(s.index)
		routine := s.tail == nil && missing == indexEntry && string(s.rebuilt[:len(s.index)]) == string(s.index)
		c.repairs = append(c.repairs, rewrite{file: indexOf(s.path), content: s.rebuilt, keep: len(s.index) > 0 && !routine, why: "it was rebuilt from the segment"})
	}
	return nil
}

// damagedEnd returns the error for damage after the last intact batch of a segment. If the index
// lists a batch there, that batch was acknowledged, unless the power failed at that moment and
// the entry reached the disk before the batch did.
func (c *check) damagedEnd(p *partition, s *segment, last bool, found string) error {
	if !last || !s.indexHasTail {
		return c.damaged(s.path, s.size, found)
	}
	d := &DamagedError{File: s.path, Offset: s.size, Found: found + "; its index lists a record batch here, so it may have been acknowledged", Remedy: restore(c.dir, c.addr)}
	one := len(s.index) < (s.count+2)*indexEntry // at most one write can be in progress
	if s.indexed && one && (p.known == nil || p.known.End <= s.next) {
		d.Remedy = fmt.Sprintf(`If the machine lost power while this was written, the batch was almost certainly never acknowledged. (A crash of the process alone can't cause this.) In that case keep a copy, and truncate the files:
     cp -a %[1]s %[1]s.copy
     truncate -s %[2]d %[3]s
     truncate -s %[4]d %[5]s
Otherwise an event is lost. `, c.dir, s.size, s.path, s.count*indexEntry, indexOf(s.path)) + d.Remedy
	}
	return d
}

// checkBounds compares the log with the part that is known to be acknowledged.
func (c *check) checkBounds(p *partition) error {
	k := p.known
	if k == nil || k.Start >= k.End {
		return nil
	}
	if len(p.segments) == 0 {
		return c.damaged(p.dir, 0, fmt.Sprintf("no segments exist, but the log had the records from offset %d to %d", k.Start, k.End-1))
	}
	if first := p.segments[0]; p.forever && first.base > k.Start {
		return c.damaged(p.file(k.Start, segmentSuffix), 0, fmt.Sprintf("the segment with offset %d is missing: the log begins at offset %d", k.Start, first.base))
	}
	if last := p.segments[len(p.segments)-1]; last.next < k.End {
		return c.damaged(last.path, last.size, fmt.Sprintf("the log ends at offset %d, but records up to offset %d were acknowledged", last.next, k.End-1))
	}
	return nil
}

// checkSnapshot adds a repair if the partition's snapshot does not match its segments.
func (c *check) checkSnapshot(p *partition) error {
	path := filepath.Join(p.dir, snapshotFile)
	var got snapshot
	there, err := readStrictly(path, &got)
	if there && err == nil && got.Version > formatVersion {
		return c.newer(path)
	}
	trimmed := len(p.segments) == 0 && p.known != nil && p.known.Start >= p.known.End
	if there && err == nil && got.HighWatermark > p.end() && len(got.Segments) > 0 && !trimmed {
		return c.damaged(path, 0, fmt.Sprintf("it says that the log ended at offset %d when the broker was stopped, but the segments end at offset %d", got.HighWatermark, p.end()))
	}
	if len(p.segments) == 0 || p.end() == p.segments[0].base {
		return c.setAside(path, there && err != nil)
	}
	want := p.snapshot(got, there && err == nil)
	stale := there && err == nil && !slices.Equal(got.Segments, want.Segments)
	switch {
	case p.transactions():
		// Only the broker can find out which transactions were aborted. Without a snapshot it
		// does so.
		name := filepath.Join("partitions", filepath.Base(p.dir), snapshotFile)
		sound := there && err == nil && !c.changed(name) &&
			(stale || got.HighWatermark == want.HighWatermark && got.LogStartOffset <= got.LastStableOffset && got.LastStableOffset <= got.HighWatermark)
		return c.setAside(path, there && !sound)
	case err == nil && there && same(got, want):
		return nil
	}
	c.repairs = append(c.repairs, rewrite{file: path, content: encode(want), keep: there && !stale, why: "it was rebuilt from the segments"})
	return nil
}

// setAside renames a file that the broker does not need, if yes is set.
func (c *check) setAside(path string, yes bool) error {
	if yes {
		c.repairs = append(c.repairs, rewrite{file: path, keep: true, why: "the broker does not need it"})
	}
	return nil
}

// snapshot returns the snapshot that the broker would write for the segments. old is the
// existing one.
func (p *partition) snapshot(old snapshot, there bool) snapshot {
	first, last := p.segments[0], p.segments[len(p.segments)-1]
	if last.count == 0 { // a write failed right after the segment was created
		last = p.segments[len(p.segments)-2]
	}
	s := snapshot{
		Version: formatVersion, HighWatermark: p.end(), LastStableOffset: p.end(), LogStartOffset: first.base,
		Epoch: last.last.epoch, CreatedAt: time.UnixMilli(first.first.firstTime).UTC(),
	}
	if there {
		s.CreatedAt = old.CreatedAt
	}
	if k := p.known; k != nil && k.Start > s.LogStartOffset && k.Start <= s.HighWatermark {
		s.LogStartOffset = k.Start
	}
	for i, g := range p.segments {
		if i == 0 || g.maxTime > s.MaxTimestamp {
			s.MaxTimestamp = g.maxTime
		}
		s.Segments = append(s.Segments, snapshotOfFile{BaseOffset: g.base, Size: g.size, MinEpoch: g.minEpoch, MaxEpoch: g.maxEpoch})
	}
	return s
}

func (p *partition) transactions() bool {
	return slices.ContainsFunc(p.segments, func(s *segment) bool { return s.transactions })
}

// same reports whether the broker would treat both snapshots alike.
func same(a, b snapshot) bool {
	return a.Version == b.Version && a.HighWatermark == b.HighWatermark && a.LastStableOffset == b.LastStableOffset &&
		a.LogStartOffset == b.LogStartOffset && a.Epoch == b.Epoch && a.LeaderNode == 0 &&
		len(a.AbortedTxns) == 0 && slices.Equal(a.Segments, b.Segments)
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
