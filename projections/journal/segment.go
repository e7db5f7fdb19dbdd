package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

const (
	magic       = "CLJOURN1"
	indexMagic  = "CLJINDX1"
	headerBytes = 44 // magic, start, log time there, hash key, checksum
	entryBytes  = 24 // of a record in the index
	// trailerBytes is the size of what follows the index: number of entries, size of the records,
	// end, log time there, checksum of index and trailer, magic.
	trailerBytes = 4 + 8 + 8 + 8 + 4 + 8
	// sparseEvery is the distance of the entries of a full segment's index that are in memory.
	sparseEvery = 128
)

const suffix = ".events"

// A segment is one file. Its records are those after start, up to end.
type segment struct {
	path       string
	file       *os.File
	start, end events.Position
	startTime  time.Time // the log time at start
	endTime    time.Time
	key        hashKey
	size       int64        // of header and records
	index      []indexEntry // of all events if the segment is open for writing, otherwise of some
	events     int          // number of events
	full       bool         // an index follows the records
}

// An indexEntry says where an event is.
type indexEntry struct {
	at, previous events.Position
	offset       int64
	hash         uint64
}

func fileName(start events.Position) string { return fmt.Sprintf("%019d", int64(start)) + suffix }

// startOf returns the position in the name of a segment.
func startOf(name string) (events.Position, bool) {
	digits, ok := strings.CutSuffix(filepath.Base(name), suffix)
	n, err := strconv.ParseInt(digits, 10, 64)
	return events.Position(n), ok && err == nil && fileName(events.Position(n)) == filepath.Base(name)
}

// createSegment creates an empty segment.
func createSegment(dir string, start events.Position, startTime time.Time, key hashKey) (*segment, error) {
	s := &segment{path: filepath.Join(dir, fileName(start)), start: start, end: start, startTime: startTime, endTime: startTime, key: key, size: headerBytes}
	var err error
	if s.file, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644); err != nil { //nolint:gosec // the mode that SQLite uses
		return nil, err
	}
	b := append(make([]byte, 0, headerBytes), magic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(start))
	b = binary.LittleEndian.AppendUint64(b, uint64(startTime.UnixMilli()))
	b = append(b, key[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := s.file.WriteAt(b, 0); err != nil {
		return nil, errors.Join(err, s.file.Close(), os.Remove(s.path))
	}
	return s, nil
}

// openSegment opens a segment, and passes each of its events to each. If the segment is not full,
// it ends before the first record that is incomplete or damaged.
func openSegment(path string, each func(indexEntry)) (*segment, error) {
	s := &segment{path: path}
	var err error
	if s.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil { //nolint:gosec // in the node's folder
		return nil, err
	}
	if err = s.readHeader(); err == nil {
		if s.full, err = s.readIndex(each); err == nil && !s.full {
			err = s.scan(each)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Base(path), err), s.file.Close())
	}
	return s, nil
}

func (s *segment) readHeader() error {
	b := make([]byte, headerBytes)
	if _, err := s.file.ReadAt(b, 0); err != nil {
		return noEOF(err)
	}
	sum := binary.LittleEndian.Uint32(b[headerBytes-4:])
	if !bytes.HasPrefix(b, []byte(magic)) || crc32.Checksum(b[:headerBytes-4], castagnoli) != sum {
		return errBad
	}
	s.start = events.Position(binary.LittleEndian.Uint64(b[8:]))
	s.startTime = time.UnixMilli(int64(binary.LittleEndian.Uint64(b[16:]))).UTC()
	copy(s.key[:], b[24:])
	s.end, s.endTime, s.size = s.start, s.startTime, headerBytes
	if start, ok := startOf(s.path); !ok || start != s.start {
		return errBad
	}
	return nil
}

// readIndex returns false if the segment does not end with a valid index.
func (s *segment) readIndex(each func(indexEntry)) (full bool, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	if info.Size() < headerBytes+trailerBytes {
		return false, nil
	}
	var t [trailerBytes]byte
	if _, err := s.file.ReadAt(t[:], info.Size()-trailerBytes); err != nil {
		return false, noEOF(err)
	}
	count, size := int64(binary.LittleEndian.Uint32(t[:])), int64(binary.LittleEndian.Uint64(t[4:]))
	if string(t[trailerBytes-8:]) != indexMagic || size < headerBytes || size+count*entryBytes+trailerBytes != info.Size() {
		return false, nil
	}
	b := make([]byte, count*entryBytes)
	if _, err := s.file.ReadAt(b, size); err != nil {
		return false, noEOF(err)
	}
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, t[:28])
	if sum != binary.LittleEndian.Uint32(t[28:]) {
		return false, nil
	}
	s.size, s.events = size, int(count)
	s.end = events.Position(binary.LittleEndian.Uint64(t[12:]))
	s.endTime = time.UnixMilli(int64(binary.LittleEndian.Uint64(t[20:]))).UTC()
	s.index = make([]indexEntry, 0, count/sparseEvery+1)
	for i := range int(count) {
		p := s.decodeIndexEntry(b[i*entryBytes:])
		if i%sparseEvery == 0 {
			s.index = append(s.index, p)
		}
		each(p)
	}
	return true, nil
}

func (s *segment) decodeIndexEntry(b []byte) indexEntry {
	return indexEntry{
		at: s.start + events.Position(binary.LittleEndian.Uint32(b)), offset: int64(binary.LittleEndian.Uint32(b[4:])),
		previous: events.Position(binary.LittleEndian.Uint64(b[8:])), hash: binary.LittleEndian.Uint64(b[16:]),
	}
}

// scan reads the records of a segment without an index.
func (s *segment) scan(each func(indexEntry)) error {
	var d decoder
	err := s.records(headerBytes, 1<<62, func(offset int64, content []byte) (bool, error) {
		kind, at, logTime := head(content)
		if at <= s.end {
			return false, errBad
		}
		if kind != progress {
			var e Entry
			if err := d.entry(content, &e); err != nil {
				return false, err
			}
			id, err := packID(e.Event.EntityID)
			if err != nil {
				return false, err
			}
			p := indexEntry{at: at, previous: e.Previous, offset: offset, hash: s.key.hash(e.Event.Collection, id)}
			s.index = append(s.index, p)
			s.events++
			each(p)
		}
		s.end, s.endTime, s.size = at, logTime, offset+frameBytes+int64(len(content))
		return true, nil
	})
	if errors.Is(err, errBad) || errors.Is(err, errTorn) {
		return nil
	}
	return err
}

// readBytes is how much of a file is read at once.
const readBytes = 64 << 10

// records passes the content of the records from one offset up to another to each, until each
// returns false. It returns errTorn or errBad at a record that is incomplete or damaged.
func (s *segment) records(from, to int64, each func(offset int64, content []byte) (bool, error)) error {
	var buffer, rest []byte
	for offset := from; offset < to; {
		content, size, need, err := unframe(rest)
		if errors.Is(err, errTorn) {
			room := max(readBytes, len(rest)+need)
			if int64(room) > to-offset {
				room = int(to - offset)
			}
			if room < len(rest)+need {
				return errTorn
			}
			if cap(buffer) < room {
				buffer = make([]byte, 0, room)
			}
			n, err := s.file.ReadAt(buffer[:room], offset)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if n < len(rest)+need {
				if n == 0 {
					return nil
				}
				return errTorn
			}
			rest = buffer[:n]
			continue
		}
		if err != nil {
			return err
		}
		if on, err := each(offset, content); !on || err != nil {
			return err
		}
		offset, rest = offset+int64(size), rest[size:]
	}
	return nil
}

// writeIndex writes the index of a segment that is full, and returns the part of it that stays in
// memory.
func (s *segment) writeIndex() (sparse []indexEntry, err error) {
	b := make([]byte, 0, len(s.index)*entryBytes+trailerBytes)
	for _, p := range s.index {
		b = binary.LittleEndian.AppendUint32(b, uint32(p.at-s.start))
		b = binary.LittleEndian.AppendUint32(b, uint32(p.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(p.previous))
		b = binary.LittleEndian.AppendUint64(b, p.hash)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.index)))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.size))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.end))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.endTime.UnixMilli()))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = append(b, indexMagic...)
	if _, err := s.file.WriteAt(b, s.size); err != nil {
		return nil, err
	}
	sparse = make([]indexEntry, 0, len(s.index)/sparseEvery+1)
	for i := 0; i < len(s.index); i += sparseEvery {
		sparse = append(sparse, s.index[i])
	}
	return sparse, nil
}

// unseal removes the index, so that the segment can be written to.
func (s *segment) unseal() error {
	if !s.full {
		return nil
	}
	if err := s.file.Truncate(s.size); err != nil {
		return err
	}
	s.full, s.index, s.events = false, nil, 0
	s.end, s.endTime, s.size = s.start, s.startTime, headerBytes
	return s.scan(func(indexEntry) {})
}

// A view is what a reader needs of a segment. It stays valid while the writer goes on.
type view struct {
	*segment
	index  []indexEntry
	size   int64
	end    events.Position
	events int
	full   bool
}

func (s *segment) view() view { return view{s, s.index, s.size, s.end, s.events, s.full} }

// after returns the index entry of the first event after a position, and the offset after that event's
// record if it is known. found is false if there is no such event.
func (v view) after(p events.Position) (found bool, at indexEntry, next int64, err error) {
	return v.search(func(q indexEntry) bool { return q.at > p })
}

// afterTime returns the index entry of the first event whose log time is after a time.
func (v view) afterTime(t time.Time) (found bool, at indexEntry, next int64, err error) {
	var failed error
	found, at, next, err = v.search(func(q indexEntry) bool {
		var b [headBytes]byte
		if _, err := v.file.ReadAt(b[:], q.offset+frameBytes); err != nil {
			failed = noEOF(err)
		}
		_, _, logTime := head(b[:])
		return logTime.After(t)
	})
	return found, at, next, errors.Join(failed, err)
}

// search returns the first index entry for which a monotonic condition holds.
func (v view) search(holds func(indexEntry) bool) (found bool, at indexEntry, next int64, err error) {
	index := v.index
	if v.full && v.events > 0 {
		block := max(sort.Search(len(index), func(i int) bool { return holds(index[i]) })-1, 0)
		if index, err = v.block(block * sparseEvery); err != nil {
			return false, indexEntry{}, 0, err
		}
	}
	i := sort.Search(len(index), func(i int) bool { return holds(index[i]) })
	if i == len(index) {
		return false, indexEntry{}, 0, nil
	}
	if next = v.size; i+1 < len(index) {
		next = index[i+1].offset
	}
	return true, index[i], next, nil
}

// block reads the index entries from one up to the second next one that is in memory.
func (v view) block(from int) ([]indexEntry, error) {
	n := min(v.events-from, sparseEvery+2)
	b := make([]byte, n*entryBytes)
	if _, err := v.file.ReadAt(b, v.size+int64(from)*entryBytes); err != nil {
		return nil, noEOF(err)
	}
	entries := make([]indexEntry, n)
	for i := range entries {
		entries[i] = v.decodeIndexEntry(b[i*entryBytes:])
	}
	return entries, nil
}

// entry reads the event of an index entry, whose record ends before next.
func (v view) entry(d *decoder, p indexEntry, next int64) (Entry, error) {
	b := make([]byte, next-p.offset)
	if _, err := v.file.ReadAt(b, p.offset); err != nil {
		return Entry{}, noEOF(err)
	}
	return decodeAt(d, b)
}

func decodeAt(d *decoder, b []byte) (e Entry, err error) {
	content, _, _, err := unframe(b)
	if err == nil {
		err = d.entry(content, &e)
	}
	return e, err
}

// noEOF turns an unexpected end of a file into damage.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return errTorn
	}
	return err
}
