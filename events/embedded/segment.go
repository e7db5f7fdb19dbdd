package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const segmentSuffix = ".dat"

// readAhead is how many bytes of a segment are read at once.
const readAhead = 1 << 20

// A segment describes what the check found in one segment file and in its index. The segment
// file is not kept in memory.
type segment struct {
	path string
	base int64 // the offset in its name
	end  int64 // the size of the file

	size                  int64 // up to the end of the last intact batch
	next                  int64 // the offset after the last intact batch
	count                 int   // the number of intact batches
	first, last           header
	maxTime               int64
	transactions          bool        // some batches belong to transactions
	tail                  *wrongBatch // what follows the last intact batch; nil if nothing does
	minEpoch, maxEpoch    int32
	index, rebuilt        []byte // the existing index, and the correct one, which is nil if the existing one is correct
	indexed, indexHasTail bool   // indexed: each intact batch has its entry; indexHasTail: another batch has one too
}

// wrongBatch is what a segment holds where a batch should begin.
type wrongBatch struct {
	found string
	// torn means that an interrupted write can leave this behind: the beginning of the next
	// batch, or zeros in place of a part of it.
	torn bool
}

// readSegment reads the batches of a segment file up to the first wrong one, and compares
// them with the segment's index. gaps allows missing offsets, as after compaction.
func readSegment(path string, base int64, gaps bool) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, base: base, next: base, end: info.Size(), indexed: true}
	if s.index, err = os.ReadFile(indexOf(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	in := &window{file: f, end: s.end}
	for s.size < s.end {
		h, wrong, err := s.readBatch(in, gaps)
		if err != nil {
			return nil, fmt.Errorf("read %s at byte %d: %w", path, s.size, err)
		}
		if wrong != nil {
			s.tail = wrong
			break
		}
		s.take(h)
	}
	if more := s.index[min(s.count*indexEntry, len(s.index)):]; len(more) > 0 {
		s.indexHasTail = len(more) >= indexEntry && !zeros(more[:indexEntry])
		s.rebuild()
	}
	return s, nil
}

// take counts an intact batch and checks its entry in the index.
func (s *segment) take(h header) {
	if s.count == 0 {
		s.first, s.minEpoch, s.maxTime = h, h.epoch, h.maxTime
	}
	s.last, s.maxEpoch, s.maxTime = h, h.epoch, max(s.maxTime, h.maxTime)
	s.transactions = s.transactions || h.transactional
	entry := s.entry()
	if len(entry) < indexEntry || !indexes(entry, h) {
		s.indexed = false
		s.rebuild()
		entry = indexed(h)
	}
	if s.rebuilt != nil {
		s.rebuilt = append(s.rebuilt, entry...)
	}
	s.count++
	s.size += h.length
	s.next = h.next()
}

// entry returns the entry of the next batch in the index. It may be incomplete or empty.
func (s *segment) entry() []byte {
	rest := s.index[min(s.count*indexEntry, len(s.index)):]
	return rest[:min(indexEntry, len(rest))]
}

// rebuild begins a new index with the entries so far, which are correct.
func (s *segment) rebuild() {
	if s.rebuilt == nil {
		s.rebuilt = append(make([]byte, 0, len(s.index)+indexEntry), s.index[:s.count*indexEntry]...)
	}
}

// indexOf returns the path of the index of a segment file.
func indexOf(path string) string { return strings.TrimSuffix(path, segmentSuffix) + ".idx" }

// readBatch reads the batch at s.size.
func (s *segment) readBatch(in *window, gaps bool) (header, *wrongBatch, error) {
	left := s.end - s.size
	if left < batchHeader {
		rest, err := in.at(s.size, left)
		if err != nil {
			return header{}, nil, err
		}
		return header{}, &wrongBatch{
			found: fmt.Sprintf("%d bytes, too few for a record batch", left),
			torn:  plausible(rest, s.next) || zeros(rest),
		}, nil
	}
	first, err := in.at(s.size, batchHeader)
	if err != nil {
		return header{}, nil, err
	}
	h := parseHeader(first)
	if why := s.misplaced(h, gaps); why != "" {
		torn, err := s.tornHeader(in, first)
		return h, &wrongBatch{found: why, torn: torn}, err
	}
	if h.length > left {
		return h, &wrongBatch{found: fmt.Sprintf("a record batch of %d bytes, of which only %d are present", h.length, left), torn: true}, nil
	}
	batch, err := in.at(s.size, h.length)
	if err != nil {
		return h, nil, err
	}
	if !intact(batch) {
		// After a power loss any part of the last write can be missing, if nothing was written
		// after it.
		torn := h.length == left
		return h, &wrongBatch{found: fmt.Sprintf("a record batch at offset %d with a wrong checksum", h.base), torn: torn}, nil
	}
	// The leader's epoch is the only field that neither the checksum nor another field covers.
	if e := s.entry(); len(e) == indexEntry && validEntry(e) && epochOf(e) != h.epoch {
		return h, &wrongBatch{found: fmt.Sprintf("a record batch at offset %d with leader epoch %d, but its index says epoch %d", h.base, h.epoch, epochOf(e))}, nil
	}
	return h, nil, nil
}

// misplaced returns why a header can't be that of the next batch, or "" if it can.
func (s *segment) misplaced(h header, gaps bool) string {
	switch {
	case h.magic != 2:
		return fmt.Sprintf("a record batch of format %d, not 2", h.magic)
	case h.base != s.next && (!gaps || h.base < s.next || s.count == 0):
		return fmt.Sprintf("a record batch at offset %d where offset %d was expected", h.base, s.next)
	case h.length < batchHeader || h.length > maxBatch:
		return fmt.Sprintf("a record batch at offset %d with a length of %d bytes", h.base, h.length)
	case h.records < 1 && !gaps || h.lastDelta < 0 || h.records > h.lastDelta+1 || !gaps && h.records != h.lastDelta+1:
		return fmt.Sprintf("a record batch at offset %d with %d records for %d offsets", h.base, h.records, int64(h.lastDelta)+1)
	case h.epoch < 0 || s.count > 0 && h.epoch < s.last.epoch:
		return fmt.Sprintf("a record batch at offset %d with leader epoch %d, which is older than that of the previous batch", h.base, h.epoch)
	}
	return ""
}

// plausible reports whether a fragment can be the beginning of the batch at an offset.
func plausible(fragment []byte, offset int64) bool {
	var want [8]byte
	for i := range want {
		want[i] = byte(offset >> (56 - 8*i))
	}
	n := min(len(fragment), len(want))
	return bytes.Equal(fragment[:n], want[:n]) && (len(fragment) <= atMagic || fragment[atMagic] == 2 || zeros(fragment[atMagic:]))
}

// tornHeader reports whether first begins like the header of the next batch and the file ends in
// zeros. The file system then had allocated the blocks, but not written them.
func (s *segment) tornHeader(in *window, first []byte) (bool, error) {
	if !plausible(first[:8], s.next) && !zeros(first[:8]) {
		return false, nil
	}
	end, err := in.at(s.end-8, 8)
	return err == nil && zeros(end), err
}

func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// window reads a file forwards through one buffer.
type window struct {
	file  *os.File
	end   int64
	start int64 // the position of b[0]
	b     []byte
	room  []byte
}

// at returns n bytes at a position. They must not extend beyond the end of the file, and are
// valid until the next call.
func (w *window) at(position, n int64) ([]byte, error) {
	if position >= w.start && w.b != nil && position+n <= w.start+int64(len(w.b)) {
		return w.b[position-w.start:][:n], nil
	}
	size := min(max(n, readAhead), w.end-position)
	if int64(cap(w.room)) < size {
		w.room = make([]byte, size)
	}
	w.b, w.start = w.room[:size], position
	if _, err := w.file.ReadAt(w.b, position); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return w.b[:n], nil
}
